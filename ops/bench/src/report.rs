//! What is said at the end: tables for people, everything for programs.

use std::collections::BTreeMap;

use kho_ops::commands::print::{self, number};
use serde::Serialize;

use crate::{
    machine::Machine,
    measure::Measure,
    observation::Observation,
    outcome::{Outcome, PeerFigure},
};

/// Everything that was measured, and on what.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub date: String,
    pub kho: &'static str,
    pub machine: Machine,
    pub settings: Settings,
    /// Version by name, or why there is none.
    pub peers: BTreeMap<&'static str, String>,
    /// What has a goal.
    pub outcomes: Vec<Outcome>,
    /// What has none.
    pub observations: Vec<Observation>,
}

/// What was wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Settings {
    pub measures: Vec<Measure>,
    pub seconds: u64,
    pub persons: u64,
    pub runs: usize,
    pub rows_held: u64,
    pub rows_max: u64,
    pub district_persons: u64,
    pub children: u32,
}

impl Report {
    pub fn text(&self) -> String {
        let mut parts: Vec<String> = self.observations.iter().map(Observation::text).collect();
        if !self.outcomes.is_empty() {
            parts.insert(0, self.outcomes_text());
        }
        let peers: Vec<String> = self.peers.iter().map(|(name, version)| format!("{name} {version}")).collect();
        parts.push(format!("Kho {}; {}\n{}; {}", self.kho, peers.join("; "), self.machine.text(), self.date));
        parts.join("\n\n")
    }

    /// What has a goal, as a table with the notes below it.
    fn outcomes_text(&self) -> String {
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
        let mut lines = vec![table.to_string()];
        for outcome in &self.outcomes {
            let said = outcome.spread_text().into_iter().chain(outcome.note.clone());
            lines.extend(said.map(|said| format!("{}: {said}", outcome.target.what)));
        }
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
    use crate::{
        figure::{Figure, Unit},
        measure::{MEMORY_IDLE, SITE_BATCHES},
        observation::Point,
    };

    fn report() -> Report {
        let rate = |value| Figure::new(value, Unit::RowsPerSecond);
        Report {
            date: "2026-01-01T00:00:00Z".into(),
            kho: "0.1.0",
            machine: Machine { cores: 2, memory_bytes: 8_000_000_000, kernel: "6.1.0".into(), file_system: "ext4".into() },
            settings: Settings {
                measures: vec![Measure::SiteBatches],
                seconds: 10,
                persons: 300_000,
                runs: 1,
                rows_held: 10_000_000,
                rows_max: 30_000_000,
                district_persons: 170_000,
                children: 700,
            },
            peers: BTreeMap::from([("etcd", "3.4.23".into())]),
            outcomes: vec![
                Outcome {
                    target: SITE_BATCHES,
                    kho: rate(12_000.0),
                    peer: Some(PeerFigure { name: "etcd", figure: rate(5_000.0) }),
                    details: json!({ "writes": 7 }),
                    note: Some("said".into()),
                    spread: None,
                },
                Outcome {
                    target: MEMORY_IDLE,
                    kho: Figure::new(41e6, Unit::Bytes),
                    peer: None,
                    details: Value::Null,
                    note: None,
                    spread: None,
                },
            ],
            observations: vec![Observation {
                measure: Measure::Start,
                what: "start, 10 rows".into(),
                points: vec![Point { at: "after kill -9".into(), figures: vec![("ready_after", Figure::new(2.0, Unit::Seconds))] }],
                notes: vec![],
            }],
        }
    }

    #[test]
    fn the_tables_have_a_line_for_each_outcome_and_each_point_with_the_notes_below() {
        let text = report().text();
        let line =
            |name: &str| text.lines().find(|line| line.contains(name)).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(line("site-batches"), "site-batches 12,000 rows/s etcd 5,000 rows/s 2.40 ≥ 1 ≥ 3 at least met");
        assert_eq!(line("memory"), "memory, idle 41.0 MB – – ≤ 80.0 MB ≤ 40.0 MB at least met");
        assert_eq!(line("after kill"), "after kill -9 2.00 s");
        assert!(text.contains("site-batches: said") && text.contains("etcd 3.4.23") && text.contains("2 cores"), "{text}");
    }

    #[test]
    fn the_json_has_every_figure_with_machine_date_peers_and_settings() {
        let value = serde_json::to_value(report()).expect("JSON");
        let batches = &value["outcomes"][0];
        assert_eq!(
            (&batches["measure"], &batches["ratio"], &batches["verdict"]),
            (&json!("site-batches"), &json!(2.4), &json!("at_least_met"))
        );
        assert_eq!(
            (&batches["kho"]["unit"], &batches["peer"]["value"], &batches["details"]["writes"]),
            (&json!("rows_per_second"), &json!(5_000.0), &json!(7))
        );
        assert_eq!(value["observations"][0]["points"][0]["figures"]["ready_after"]["value"], json!(2.0));
        assert_eq!(
            (&value["machine"]["cores"], &value["peers"]["etcd"], &value["settings"]["seconds"]),
            (&json!(2), &json!("3.4.23"), &json!(10))
        );
    }
}
