//! Lines of the table from what the trees came to.

use serde_json::{Value, json};

use super::{KhoRun, PeerRun, TreeRows};
use crate::bench::{
    figure::{Figure, Unit},
    measure::{MEMORY_IDLE, MEMORY_LOADED, TREE_LAG, TREE_ROWS, WIRE},
    outcome::{Outcome, PeerFigure},
    process_memory::ProcessMemory,
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
    Outcome { target: TREE_ROWS, kho: figure(kho.rows.rows_per_second), peer: peer_figure, details: json!({ "kho": kho.rows, "peer": peer.map(|peer| peer.rows) }), note: None }
}

fn tree_lag(kho: &KhoRun, peer: Option<&PeerRun>) -> Option<Outcome> {
    let of_kho = kho.lag?;
    let of_peer = peer.and_then(|peer| peer.lag);
    let rate = |rows_per_second| Figure::new(rows_per_second, Unit::RowsPerSecond);
    let mut note = format!("under {}, half of what Kho brought through; {} came about", rate(of_kho.rows_per_second_wanted), rate(of_kho.rows_per_second));
    if let Some(lag) = of_peer {
        let load = if lag.rows_per_second_wanted < of_kho.rows_per_second_wanted { "could not keep up with that and was measured under half of its own" } else { "was measured under the same" };
        note.push_str(&format!("; {PEER} {load}, {}; {} came about", rate(lag.rows_per_second_wanted), rate(lag.rows_per_second)));
    }
    let figure = |seconds| Figure::new(seconds, Unit::Seconds);
    Some(Outcome {
        target: TREE_LAG,
        kho: figure(of_kho.lag_seconds.p99),
        peer: of_peer.map(|lag| PeerFigure { name: PEER, figure: figure(lag.lag_seconds.p99) }),
        details: json!({ "kho": of_kho, "peer": of_peer }),
        note: Some(note),
    })
}

fn idle(memory: ProcessMemory) -> Outcome {
    let kho = Figure::new(memory.resident_bytes as f64, Unit::Bytes);
    Outcome { target: MEMORY_IDLE, kho, peer: None, details: json!({ "kho": memory }), note: None }
}

fn loaded(kho: &KhoRun) -> Outcome {
    let figure = Figure::new(kho.loaded.resident_bytes_max as f64, Unit::Bytes);
    Outcome { target: MEMORY_LOADED, kho: figure, peer: None, details: json!({ "kho": kho.loaded }), note: None }
}

fn wire(rows: &TreeRows, kho: &KhoRun) -> Outcome {
    let count = kho.rows.rows;
    let per_row = |bytes: u64| Figure::new(bytes as f64 / count as f64, Unit::BytesPerRow);
    let details: Value = json!({ "rows": count, "sent_bytes": kho.sent_bytes, "csv_bytes": rows.bulk_csv_bytes });
    Outcome { target: WIRE, kho: per_row(kho.sent_bytes), peer: Some(PeerFigure { name: "CSV", figure: per_row(rows.bulk_csv_bytes) }), details, note: None }
}
