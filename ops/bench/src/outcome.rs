//! What one measurement came to: Kho's figure, the peer's, and how they compare.

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::Value;

use crate::{
    figure::Figure,
    goal::{Judged, Verdict},
    measure::Target,
};

/// The same, measured with something else.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PeerFigure {
    pub name: &'static str,
    #[serde(flatten)]
    pub figure: Figure,
}

/// The lowest and the highest of several runs.
pub type Bounds = [f64; 2];

/// How far several runs lie apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    pub runs: usize,
    pub kho: Bounds,
    pub peer: Option<Bounds>,
    /// Of the ratios of each run by itself.
    pub ratio: Option<Bounds>,
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub target: Target,
    pub kho: Figure,
    pub peer: Option<PeerFigure>,
    /// Everything that was measured on the way.
    pub details: Value,
    /// What has to be said beside the figures.
    pub note: Option<String>,
    /// Of several runs, whose median the figures are.
    pub spread: Option<Spread>,
}

impl Outcome {
    /// Kho's figure divided by the peer's.
    pub fn ratio(&self) -> Option<f64> {
        self.peer.map(|peer| self.kho.value / peer.figure.value)
    }

    pub fn verdict(&self) -> Verdict {
        let judged = match self.target.goal.judged {
            Judged::Ratio => self.ratio(),
            Judged::Bytes => Some(self.kho.value),
        };
        self.target.goal.judge(judged)
    }

    /// How far several runs lie apart, in words.
    pub fn spread_text(&self) -> Option<String> {
        let spread = self.spread?;
        let range = |bounds: [f64; 2]| bounds.map(|value| Figure::new(value, self.kho.unit).to_string()).join(" to ");
        let mut text = format!("median of {} runs; Kho {}", spread.runs, range(spread.kho));
        if let Some((peer, bounds)) = self.peer.zip(spread.peer) {
            text.push_str(&format!(", {} {}", peer.name, range(bounds)));
        }
        if let Some([lowest, highest]) = spread.ratio {
            text.push_str(&format!(", ratio {lowest:.2} to {highest:.2}"));
        }
        Some(text)
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("measure", &self.target.measure)?;
        map.serialize_entry("what", self.target.what)?;
        map.serialize_entry("kho", &self.kho)?;
        map.serialize_entry("peer", &self.peer)?;
        map.serialize_entry("ratio", &self.ratio())?;
        map.serialize_entry("goal", &self.target.goal)?;
        map.serialize_entry("verdict", &self.verdict())?;
        map.serialize_entry("note", &self.note)?;
        map.serialize_entry("spread", &self.spread)?;
        map.serialize_entry("details", &self.details)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        figure::Unit,
        measure::{MEMORY_IDLE, SITE_BATCHES, SITE_LATENCY},
    };

    fn outcome(target: Target, kho: Figure, peer: Option<f64>) -> Outcome {
        let peer = peer.map(|value| PeerFigure { name: "etcd", figure: Figure::new(value, kho.unit) });
        Outcome { target, kho, peer, details: Value::Null, note: None, spread: None }
    }

    #[test]
    fn the_spread_of_several_runs_is_printed_in_the_figure_s_unit() {
        let one = outcome(SITE_BATCHES, Figure::new(2_000.0, Unit::RowsPerSecond), Some(1_000.0));
        assert_eq!(one.spread_text(), None);
        let spread = Spread { runs: 3, kho: [1_900.0, 2_100.0], peer: Some([900.0, 1_100.0]), ratio: Some([1.8, 2.2]) };
        let text = Outcome { spread: Some(spread), ..one }.spread_text();
        assert_eq!(
            text.as_deref(),
            Some("median of 3 runs; Kho 1,900 rows/s to 2,100 rows/s, etcd 900 rows/s to 1,100 rows/s, ratio 1.80 to 2.20")
        );
    }

    #[test]
    fn the_ratio_is_kho_s_figure_over_the_peer_s_and_decides() {
        let twice = outcome(SITE_BATCHES, Figure::new(2_000.0, Unit::RowsPerSecond), Some(1_000.0));
        assert_eq!((twice.ratio(), twice.verdict()), (Some(2.0), Verdict::AtLeastMet));
        let half_the_time = outcome(SITE_LATENCY, Figure::new(0.001, Unit::Seconds), Some(0.002));
        assert_eq!((half_the_time.ratio(), half_the_time.verdict()), (Some(0.5), Verdict::AimMet));
        let alone = outcome(SITE_BATCHES, Figure::new(2_000.0, Unit::RowsPerSecond), None);
        assert_eq!((alone.ratio(), alone.verdict()), (None, Verdict::NoPeer));
    }

    #[test]
    fn memory_is_judged_without_a_peer() {
        assert_eq!(outcome(MEMORY_IDLE, Figure::new(39e6, Unit::Bytes), None).verdict(), Verdict::AimMet);
        assert_eq!(outcome(MEMORY_IDLE, Figure::new(81e6, Unit::Bytes), None).verdict(), Verdict::Missed);
    }
}
