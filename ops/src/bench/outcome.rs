//! What one measurement came to: Kho's figure, the peer's, and how they compare.

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::Value;

use super::{
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
        map.serialize_entry("details", &self.details)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{
        figure::Unit,
        measure::{MEMORY_IDLE, SITE_BATCHES, SITE_LATENCY},
    };

    fn outcome(target: Target, kho: Figure, peer: Option<f64>) -> Outcome {
        let peer = peer.map(|value| PeerFigure { name: "etcd", figure: Figure::new(value, kho.unit) });
        Outcome { target, kho, peer, details: Value::Null, note: None }
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
