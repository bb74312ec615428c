//! What a measured value has to reach, and whether it does.

use serde::Serialize;

use crate::figure::megabytes;

/// Which way is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    More,
    Less,
}

/// What is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Judged {
    /// Kho's figure divided by the peer's.
    Ratio,
    /// Kho's figure alone, in bytes.
    Bytes,
}

/// A bound that must hold and one that is aimed at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Goal {
    pub judged: Judged,
    pub better: Better,
    pub at_least: f64,
    pub aim: f64,
}

/// Whether a goal was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    AimMet,
    AtLeastMet,
    Missed,
    /// Without the peer's figure there is nothing to judge.
    NoPeer,
}

impl Goal {
    /// A bound on Kho's figure divided by the peer's.
    pub const fn ratio(better: Better, at_least: f64, aim: f64) -> Self {
        Self { judged: Judged::Ratio, better, at_least, aim }
    }

    /// An upper bound on Kho's own bytes.
    pub const fn bytes_at_most(at_least: f64, aim: f64) -> Self {
        Self { judged: Judged::Bytes, better: Better::Less, at_least, aim }
    }

    /// Judges a value; `None` when there is none.
    pub fn judge(&self, value: Option<f64>) -> Verdict {
        let Some(value) = value else { return Verdict::NoPeer };
        let meets = |bound: f64| match self.better {
            Better::More => value >= bound,
            Better::Less => value <= bound,
        };
        match (meets(self.aim), meets(self.at_least)) {
            (true, _) => Verdict::AimMet,
            (false, true) => Verdict::AtLeastMet,
            (false, false) => Verdict::Missed,
        }
    }

    /// One of the two bounds as it is shown: `≥ 1.5`, `≤ 0.7`, `≤ 80.0 MB`.
    pub fn bound_text(&self, bound: f64) -> String {
        let sign = match self.better {
            Better::More => "≥",
            Better::Less => "≤",
        };
        match self.judged {
            Judged::Ratio => format!("{sign} {bound}"),
            Judged::Bytes => format!("{sign} {}", megabytes(bound)),
        }
    }
}

impl Verdict {
    pub fn words(self) -> &'static str {
        match self {
            Self::AimMet => "aim met",
            Self::AtLeastMet => "at least met",
            Self::Missed => "missed",
            Self::NoPeer => "no peer",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_judged_upward_and_less_downward_and_a_bound_itself_is_met() {
        let more = Goal::ratio(Better::More, 1.0, 3.0);
        assert_eq!(
            [0.99, 1.0, 2.99, 3.0].map(|value| more.judge(Some(value))),
            [Verdict::Missed, Verdict::AtLeastMet, Verdict::AtLeastMet, Verdict::AimMet]
        );
        let less = Goal::ratio(Better::Less, 1.2, 0.7);
        assert_eq!(
            [1.21, 1.2, 0.71, 0.7].map(|value| less.judge(Some(value))),
            [Verdict::Missed, Verdict::AtLeastMet, Verdict::AtLeastMet, Verdict::AimMet]
        );
    }

    #[test]
    fn without_a_peer_and_with_no_number_nothing_is_met() {
        let goal = Goal::ratio(Better::Less, 1.2, 0.7);
        assert_eq!(goal.judge(None), Verdict::NoPeer);
        assert_eq!(goal.judge(Some(f64::NAN)), Verdict::Missed);
    }

    #[test]
    fn bounds_are_shown_with_their_direction() {
        let goal = Goal::ratio(Better::More, 1.5, 3.0);
        assert_eq!([goal.bound_text(goal.at_least), goal.bound_text(goal.aim)], ["≥ 1.5", "≥ 3"]);
        assert_eq!(Goal::bytes_at_most(80e6, 40e6).bound_text(80e6), "≤ 80.0 MB");
    }
}
