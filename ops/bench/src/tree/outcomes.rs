//! Lines of the table, from what was measured on the trees.

use kho_ops::commands::print::grouped;
use serde_json::{Value, json};

use super::{
    compare::{IdleMemory, KhoRun, PeerRun},
    lag::LagReport,
    supply::TreeRows,
};
use crate::{
    figure::{Figure, Unit},
    measure::{MEMORY_IDLE, MEMORY_LOADED, TREE_LAG, TREE_ROWS, WIRE},
    outcome::{Outcome, PeerFigure},
    process_use::ProcessMemory,
    workbench::Workbench,
};

const PEER: &str = "PostgreSQL";

/// Those that are wanted, in the table's order.
pub fn outcomes(bench: &Workbench, rows: &TreeRows, kho: &KhoRun, peer: Option<&PeerRun>) -> Vec<Outcome> {
    let all = [Some(tree_rows(kho, peer)), tree_lag(kho, peer), kho.idle.map(idle), Some(loaded(kho)), Some(wire(rows, kho))];
    all.into_iter().flatten().filter(|outcome| bench.wants(outcome.target.measure)).collect()
}

fn tree_rows(kho: &KhoRun, peer: Option<&PeerRun>) -> Outcome {
    let figure = |rows_per_second| Figure::new(rows_per_second, Unit::RowsPerSecond);
    let peer_figure = peer.map(|peer| PeerFigure { name: PEER, figure: figure(peer.rows.rows_per_second) });
    Outcome {
        target: TREE_ROWS,
        kho: figure(kho.rows.rows_per_second),
        peer: peer_figure,
        details: json!({ "kho": kho.rows, "peer": peer.map(|peer| peer.rows) }),
        note: None,
        spread: None,
    }
}

fn tree_lag(kho: &KhoRun, peer: Option<&PeerRun>) -> Option<Outcome> {
    let at_own_rate = kho.lag?;
    let of_peer = peer.and_then(|peer| peer.lag);
    let figure = |seconds| Figure::new(seconds, Unit::Seconds);
    let note = match (of_peer, kho.lag_at_peer_rate) {
        (Some(of_peer), Some(at_peer_rate)) => {
            let own =
                format!("at half of what Kho brought through, {}, Kho's is {}", load(&at_own_rate), figure(at_own_rate.lag_seconds.p99));
            format!(
                "{PEER} could not keep up with half of Kho's rate, so both are compared at half of {PEER}'s: Kho at {}, {PEER} at {}; {own}",
                load(&at_peer_rate),
                load(&of_peer)
            )
        }
        (Some(of_peer), None) => {
            format!("both at half of what Kho brought through: Kho at {}, {PEER} at {}", load(&at_own_rate), load(&of_peer))
        }
        (None, _) => format!("at half of what Kho brought through, {}", load(&at_own_rate)),
    };
    Some(Outcome {
        target: TREE_LAG,
        kho: figure(kho.lag_at_peer_rate.unwrap_or(at_own_rate).lag_seconds.p99),
        peer: of_peer.map(|lag| PeerFigure { name: PEER, figure: figure(lag.lag_seconds.p99) }),
        details: json!({ "kho": at_own_rate, "kho_at_peer_rate": kho.lag_at_peer_rate, "peer": of_peer }),
        note: Some(note),
        spread: None,
    })
}

/// The load that was wanted, and what came about of it.
fn load(lag: &LagReport) -> String {
    let rate = |rows_per_second| Figure::new(rows_per_second, Unit::RowsPerSecond);
    format!("{} ({} came about)", rate(lag.rows_per_second_wanted), rate(lag.rows_per_second))
}

fn idle(memory: IdleMemory) -> Outcome {
    let figure = |memory: ProcessMemory| Figure::new(memory.resident_bytes as f64, Unit::Bytes);
    let (worked, empty) = (figure(memory.worked), figure(memory.empty));
    let note = format!(
        "of a district that was started again with {} rows; one that has just taken them and rests takes {worked}, an empty one {empty}",
        grouped(memory.rows_held)
    );
    Outcome {
        target: MEMORY_IDLE,
        kho: figure(memory.holding),
        peer: None,
        details: json!({ "kho": memory }),
        note: Some(note),
        spread: None,
    }
}

fn loaded(kho: &KhoRun) -> Outcome {
    let figure = Figure::new(kho.loaded.resident_bytes_max as f64, Unit::Bytes);
    Outcome { target: MEMORY_LOADED, kho: figure, peer: None, details: json!({ "kho": kho.loaded }), note: None, spread: None }
}

fn wire(rows: &TreeRows, kho: &KhoRun) -> Outcome {
    let count = kho.rows.rows;
    let per_row = |bytes: u64| Figure::new(bytes as f64 / count as f64, Unit::BytesPerRow);
    let details: Value = json!({ "rows": count, "link_bytes": kho.link_bytes, "csv_bytes": rows.bulk_csv_bytes });
    Outcome {
        target: WIRE,
        kho: per_row(kho.link_bytes),
        peer: Some(PeerFigure { name: "CSV", figure: per_row(rows.bulk_csv_bytes) }),
        details,
        note: None,
        spread: None,
    }
}
