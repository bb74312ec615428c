//! What a verification found, for people and for programs.

use std::fmt::Write as _;

use kho_storage::{
    ids::{OriginId, StreamSeq},
    warehouse::OriginProof,
};
use serde::Serialize;

use super::compare::RowDifference;
use crate::{
    commands::print::{self, grouped, number},
    failure::Verdict,
};

/// One node's recomputation of one origin.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SiteProof {
    pub site: String,
    pub holds: bool,
    #[serde(flatten)]
    pub proof: OriginProof,
}

/// How the sites that hold an origin compare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Comparison {
    Equal {
        seq: StreamSeq,
        sites: Vec<String>,
        digest: String,
    },
    Different {
        seq: StreamSeq,
        sites: Vec<String>,
        digests: Vec<String>,
    },
    /// Held by one of the given sites alone.
    Alone {
        site: String,
    },
    NotComparable {
        why: String,
    },
}

/// One origin along the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OriginComparison {
    pub origin: OriginId,
    #[serde(flatten)]
    pub comparison: Comparison,
}

/// By which a node names the rows of a comparison, for who may read rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SiteToken {
    pub origin: OriginId,
    pub site: String,
    pub token: String,
}

/// Everything found.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
pub struct VerifyReport {
    pub sites: Vec<String>,
    pub proofs: Vec<SiteProof>,
    pub comparisons: Vec<OriginComparison>,
    pub rows: Vec<RowDifference>,
    /// Of the comparisons in which rows differ.
    pub tokens: Vec<SiteToken>,
    /// Why rows are listed that may only have changed meanwhile, or not all.
    pub notes: Vec<String>,
    /// Nothing was recomputed: only what nodes keep was compared.
    pub proofs_skipped: bool,
    pub holds: bool,
}

impl VerifyReport {
    /// Sets and gives the verdict: everything was proven, or something was not.
    pub fn judge(&mut self) -> Verdict {
        let proven = self.proofs.iter().all(|proof| proof.holds) && (self.proofs_skipped || !self.proofs.is_empty());
        let equal = self.comparisons.iter().all(|line| matches!(line.comparison, Comparison::Equal { .. } | Comparison::Alone { .. }));
        self.holds = proven && equal && !self.comparisons.is_empty();
        if self.holds { Verdict::Good } else { Verdict::Bad }
    }

    pub fn text(&self) -> String {
        let mut text = if self.proofs_skipped { String::new() } else { self.proofs_text() + "\n" };
        let _ = writeln!(text, "{}", self.comparisons_text());
        if !self.rows.is_empty() {
            let _ = writeln!(text, "{}", self.rows_text());
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        let verdict = match (self.holds, self.comparisons.is_empty()) {
            (true, _) if self.proofs_skipped => {
                format!("equal: what {} nodes keep agrees; nothing was recomputed from rows", self.sites.len())
            }
            (true, _) => {
                format!("proven: {} replicas at {} nodes are what their heads say, and equal", self.proofs.len(), self.sites.len())
            }
            (false, true) => "nothing to verify: none of the nodes holds such an origin".into(),
            (false, false) => "NOT proven: see above; keep the disks as evidence and do not restart anything".into(),
        };
        text + &verdict
    }

    fn proofs_text(&self) -> String {
        let mut table = print::table(&["node", "origin", "batch", "rows", "digest kept", "digest recomputed", "cubes", "verdict"]);
        for SiteProof { site, holds, proof } in &self.proofs {
            let rows = if proof.rows == proof.stored_rows {
                grouped(proof.rows)
            } else {
                format!("{} (kept: {})", grouped(proof.rows), grouped(proof.stored_rows))
            };
            let cubes = match proof.cube_differences.len() {
                0 => "agree".into(),
                cells => format!("{cells} cells differ"),
            };
            let short = |hash: &kho_storage::ids::Hash32| hash.to_hex().chars().take(12).collect::<String>();
            table.add_row([
                site.into(),
                number(proof.origin),
                number(grouped(proof.seq.0)),
                number(rows),
                short(&proof.stored_digest).into(),
                short(&proof.digest).into(),
                cubes.into(),
                if *holds { "holds".into() } else { "BROKEN".into() },
            ]);
        }
        let mut text = table.to_string();
        for difference in self.proofs.iter().flat_map(|proof| &proof.proof.cube_differences) {
            let _ = write!(
                text,
                "\n  cube {} cell {}: stored {}, from the rows {}",
                difference.cube, difference.cell, difference.stored, difference.recomputed
            );
        }
        text
    }

    fn comparisons_text(&self) -> String {
        let mut table = print::table(&["origin", "compared at", "nodes", "verdict"]);
        for line in &self.comparisons {
            let (at, sites, verdict) = match &line.comparison {
                Comparison::Equal { seq, sites, .. } => (grouped(seq.0), sites.join(", "), "equal".to_owned()),
                Comparison::Different { seq, sites, .. } => (grouped(seq.0), sites.join(", "), "DIFFERENT".to_owned()),
                Comparison::Alone { site } => ("–".into(), site.clone(), "held by this one alone".to_owned()),
                Comparison::NotComparable { why } => ("–".into(), String::new(), format!("NOT COMPARED: {why}")),
            };
            table.add_row([number(line.origin), number(at), sites.into(), verdict.into()]);
        }
        table.to_string()
    }

    fn rows_text(&self) -> String {
        let mut table = print::table(&["origin", "table", "hash of the key", "held as"]);
        for row in &self.rows {
            let held: Vec<String> = row
                .hashes
                .iter()
                .map(|at| {
                    format!("{}: {}", at.site, at.hash.as_deref().map_or("absent".into(), |hash| hash.chars().take(12).collect::<String>()))
                })
                .collect();
            table.add_row([
                number(row.origin),
                row.table.as_str().into(),
                row.key_hash.chars().take(16).collect::<String>().into(),
                held.join("\n").into(),
            ]);
        }
        table.to_string()
    }
}

#[cfg(test)]
mod tests {
    use kho_storage::{
        ids::{CubeId, Epoch, Hash32},
        warehouse::CubeDifference,
    };

    use super::*;

    fn proof() -> OriginProof {
        let digest = Hash32::of(b"d");
        OriginProof {
            origin: OriginId(7),
            epoch: Epoch { number: 1, id: 0 },
            seq: StreamSeq(3),
            chain: Hash32::ZERO,
            stored_digest: digest,
            digest,
            stored_rows: 5,
            rows: 5,
            rows_by_table: [(2, 5)].into(),
            cube_differences: vec![],
        }
    }

    fn report(proof: OriginProof, comparison: Comparison) -> VerifyReport {
        let proofs = vec![SiteProof { site: "A".into(), holds: proof.holds(), proof }];
        VerifyReport {
            sites: vec!["A".into()],
            proofs,
            comparisons: vec![OriginComparison { origin: OriginId(7), comparison }],
            ..VerifyReport::default()
        }
    }

    #[test]
    fn what_was_only_compared_is_not_called_proven() {
        let mut report = VerifyReport { proofs: vec![], proofs_skipped: true, ..report(proof(), Comparison::Alone { site: "A".into() }) };
        assert_eq!(report.judge(), Verdict::Good);
        assert!(report.text().contains("nothing was recomputed") && !report.text().contains("proven:"));
    }

    #[test]
    fn promise_5_only_what_was_proven_and_is_equal_is_called_so() {
        let alone = || Comparison::Alone { site: "A".into() };
        assert_eq!(report(proof(), alone()).judge(), Verdict::Good);
        assert_eq!(report(proof(), Comparison::NotComparable { why: "trimmed".into() }).judge(), Verdict::Bad);
        assert_eq!(report(proof(), Comparison::Different { seq: StreamSeq(3), sites: vec![], digests: vec![] }).judge(), Verdict::Bad);
        assert_eq!(VerifyReport::default().judge(), Verdict::Bad, "nothing verified is nothing proven");
        let cube = CubeDifference { cube: CubeId(1), cell: "00".into(), stored: 1, recomputed: 2 };
        let broken = [
            OriginProof { digest: Hash32::ZERO, ..proof() },
            OriginProof { rows: 4, ..proof() },
            OriginProof { cube_differences: vec![cube], ..proof() },
        ];
        for proof in broken {
            let mut report = report(proof, alone());
            assert_eq!(report.judge(), Verdict::Bad);
            assert!(report.text().contains("BROKEN") && report.text().contains("NOT proven"));
        }
    }
}
