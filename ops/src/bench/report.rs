//! What is said at the end: a table for people, everything for programs.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    machine::Machine,
    measure::Measure,
    outcome::{Outcome, PeerFigure},
};
use crate::commands::print::{self, number};

/// Everything that was measured, and on what.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub date: String,
    pub kho: &'static str,
    pub machine: Machine,
    pub settings: Settings,
    /// Version by name, or why there is none.
    pub peers: BTreeMap<&'static str, String>,
    pub outcomes: Vec<Outcome>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Settings {
    pub measures: Vec<Measure>,
    pub seconds: u64,
    pub persons: u64,
}

impl Report {
    pub fn text(&self) -> String {
        let mut table = print::table(&["measured", "Kho", "peer", "ratio", "at least", "aim", "verdict"]);
        for outcome in &self.outcomes {
            let goal = outcome.target.goal;
            table.add_row([
                outcome.target.what.into(),
                number(outcome.kho),
                number(outcome.peer.as_ref().map_or_else(dash, peer_text)),
                number(outcome.ratio().map_or_else(dash, |ratio| format!("{ratio:.2}"))),
                number(goal.bound_text(goal.at_least)),
                number(goal.bound_text(goal.aim)),
                outcome.verdict().words().into(),
            ]);
        }
        let peers: Vec<String> = self.peers.iter().map(|(name, version)| format!("{name} {version}")).collect();
        let mut lines = vec![table.to_string(), format!("Kho {}; {}", self.kho, peers.join("; ")), format!("{}; {}", self.machine.text(), self.date)];
        lines.extend(self.outcomes.iter().filter_map(|outcome| Some(format!("{}: {}", outcome.target.what, outcome.note.as_ref()?))));
        lines.join("\n")
    }
}

fn peer_text(peer: &PeerFigure) -> String {
    format!("{} {}", peer.name, peer.figure)
}

fn dash() -> String {
    "–".into()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::bench::{
        figure::{Figure, Unit},
        measure::{MEMORY_IDLE, SITE_BATCHES},
    };

    fn report() -> Report {
        let rate = |value| Figure::new(value, Unit::RowsPerSecond);
        Report {
            date: "2026-01-01T00:00:00Z".into(),
            kho: "0.1.0",
            machine: Machine { cores: 2, memory_bytes: 8_000_000_000, kernel: "6.1.0".into(), file_system: "ext4".into() },
            settings: Settings { measures: vec![Measure::SiteBatches], seconds: 10, persons: 300_000 },
            peers: BTreeMap::from([("etcd", "3.4.23".into())]),
            outcomes: vec![
                Outcome { target: SITE_BATCHES, kho: rate(12_000.0), peer: Some(PeerFigure { name: "etcd", figure: rate(5_000.0) }), details: json!({ "writes": 7 }), note: Some("said".into()) },
                Outcome { target: MEMORY_IDLE, kho: Figure::new(41e6, Unit::Bytes), peer: None, details: Value::Null, note: None },
            ],
        }
    }

    #[test]
    fn the_table_has_a_line_for_each_outcome_and_the_notes_below_it() {
        let text = report().text();
        let line = |name: &str| text.lines().find(|line| line.contains(name)).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(line("site-batches"), "site-batches 12,000 rows/s etcd 5,000 rows/s 2.40 ≥ 1 ≥ 3 at least met");
        assert_eq!(line("memory"), "memory, idle 41.0 MB – – ≤ 80.0 MB ≤ 40.0 MB at least met");
        assert!(text.contains("etcd 3.4.23") && text.contains("2 cores") && text.ends_with("site-batches: said"), "{text}");
    }

    #[test]
    fn the_json_has_every_figure_with_machine_date_peers_and_settings() {
        let value = serde_json::to_value(report()).expect("JSON");
        let batches = &value["outcomes"][0];
        assert_eq!((&batches["measure"], &batches["ratio"], &batches["verdict"]), (&json!("site-batches"), &json!(2.4), &json!("at_least_met")));
        assert_eq!((&batches["kho"]["unit"], &batches["peer"]["value"], &batches["details"]["writes"]), (&json!("rows_per_second"), &json!(5_000.0), &json!(7)));
        assert_eq!((&value["machine"]["cores"], &value["peers"]["etcd"], &value["settings"]["seconds"]), (&json!(2), &json!("3.4.23"), &json!(10)));
    }
}
