//! What an idle child costs its parent, which has hundreds: a real `khod` as parent, and children in this process that each have keys,
//! a certificate, a UDP socket and an uplink of their own.
//!
//! ```text
//!   child ─┐  QUIC, mutual TLS; a signed head now and then
//!   child ─┼─────────────────────────────────────────────────► khod: processor time, memory
//!   child ─┘  bytes counted at the children's ends
//! ```
//! Processor time is the parent's alone; what this process spends on its children does not count.

mod child;
mod family;
mod stream;

use std::time::{Duration, Instant};

use anyhow::ensure;
use kho_ops::commands::print::grouped;

use self::family::Family;
use crate::{
    figure::{Figure, Unit},
    measure::Measure,
    observation::{NamedFigure, Observation, Point},
    progress,
    workbench::Workbench,
};

/// Seconds between two heads of a child: as the examples give a district, and the default.
const HEAD_SECONDS: [u64; 2] = [30, 10];
/// A parent is watched for so many times the length of other measurements, so that every child has some heads.
const WATCHED_LENGTHS: u32 = 6;
/// How long all children may take until the parent holds their streams.
const TIMEOUT: Duration = Duration::from_secs(300);
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// What the parent spent in a while.
#[derive(Debug, Clone, Copy)]
struct Spent {
    seconds: f64,
    processor: Duration,
    resident_bytes: u64,
    entries: u64,
    from_children_bytes: u64,
    to_children_bytes: u64,
}

/// Measures the parent without children, and with all of them at two intervals between heads.
///
/// # Errors
/// When the parent can't be started, or a child meets what no idle child should.
pub async fn measure_idle_children(bench: &Workbench) -> anyhow::Result<Observation> {
    let children = bench.wanted.children;
    progress::begin(format_args!("Kho: a parent with {} idle children", grouped(children.into())));
    let mut family = Family::create(&bench.folder("parent"), children).await?;
    let length = bench.wanted.length * WATCHED_LENGTHS;
    let alone = watch(&mut family, bench.wanted.length).await?;
    family.start_children(HEAD_SECONDS[0]).await?;
    wait_until_all_are_known(&mut family).await?;
    let mut points = Vec::new();
    for head_seconds in HEAD_SECONDS {
        family.set_head_seconds(head_seconds);
        // Until every child has the new interval.
        tokio::time::sleep(Duration::from_secs(*HEAD_SECONDS.iter().max().unwrap_or(&1))).await;
        let spent = watch(&mut family, length).await?;
        let point = Point { at: format!("a head every {head_seconds} s"), figures: figures(&alone, &spent, children) };
        progress::note(format_args!("idle-children: {}, {} of a core for all", point.at, point.figures[1].1));
        points.push(point);
    }
    family.end().await?;
    Ok(Observation {
        measure: Measure::IdleChildren,
        what: format!("idle-children: a parent of one node with {} children with nothing new", grouped(children.into())),
        points,
        notes: vec![
            "per child: beyond what the parent takes without children; of a core's time".into(),
            "bytes with the headers of UDP and IP; a silent link is probed by both ends every 5 s".into(),
        ],
    })
}

async fn wait_until_all_are_known(family: &mut Family) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !family.is_caught_up() {
        family.ensure_running()?;
        ensure!(begun.elapsed() < TIMEOUT, "the parent does not hold the streams of all children after {} s", TIMEOUT.as_secs());
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    progress::note(format_args!("all children's streams were held after {:.1} s", begun.elapsed().as_secs_f64()));
    Ok(())
}

/// Watches the parent for a while.
async fn watch(family: &mut Family, length: Duration) -> anyhow::Result<Spent> {
    let (begun, processor, entries, wire) = (Instant::now(), family.processor_time()?, family.entries().await?, family.wire_bytes());
    tokio::time::sleep(length).await;
    family.ensure_running()?;
    let (wire_after, seconds) = (family.wire_bytes(), begun.elapsed().as_secs_f64());
    Ok(Spent {
        seconds,
        processor: family.processor_time()?.saturating_sub(processor),
        resident_bytes: family.resident_bytes()?,
        entries: family.entries().await?.saturating_sub(entries),
        from_children_bytes: wire_after.0.saturating_sub(wire.0),
        to_children_bytes: wire_after.1.saturating_sub(wire.1),
    })
}

fn figures(alone: &Spent, spent: &Spent, children: u32) -> Vec<NamedFigure> {
    let each = |all: f64| all / f64::from(children);
    let share = |spent: &Spent| spent.processor.as_secs_f64() / spent.seconds * 100.0;
    let bytes_per_second = |bytes: u64| Figure::new(each(bytes as f64 / spent.seconds), Unit::BytesPerSecond);
    vec![
        ("core_each", Figure::new(each((share(spent) - share(alone)).max(0.0)), Unit::Percent)),
        ("core_in_all", Figure::new(share(spent), Unit::Percent)),
        ("memory_each", Figure::new(each(spent.resident_bytes.saturating_sub(alone.resident_bytes) as f64), Unit::Bytes)),
        ("resident_in_all", Figure::new(spent.resident_bytes as f64, Unit::Bytes)),
        ("from_each", bytes_per_second(spent.from_children_bytes)),
        ("to_each", bytes_per_second(spent.to_children_bytes)),
        ("log_entries_per_second", Figure::new(spent.entries as f64 / spent.seconds, Unit::PerSecond)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_costs_what_the_parent_takes_beyond_its_own_need_divided_by_their_number() {
        let alone = Spent {
            seconds: 10.0,
            processor: Duration::from_millis(100),
            resident_bytes: 50_000_000,
            entries: 1,
            from_children_bytes: 0,
            to_children_bytes: 0,
        };
        let spent = Spent {
            seconds: 60.0,
            processor: Duration::from_millis(7_800),
            resident_bytes: 120_000_000,
            entries: 1_400,
            from_children_bytes: 4_200_000,
            to_children_bytes: 2_100_000,
        };
        let value = |name: &str| {
            figures(&alone, &spent, 100).iter().find(|(figure, _)| *figure == name).map(|(_, figure)| figure.value).expect("measured")
        };
        assert!((value("core_each") - 0.12).abs() < 1e-9 && (value("core_in_all") - 13.0).abs() < 1e-9);
        assert_eq!((value("memory_each"), value("from_each"), value("to_each")), (700_000.0, 700.0, 350.0));
        assert!((value("log_entries_per_second") - 1_400.0 / 60.0).abs() < 1e-9);
    }
}
