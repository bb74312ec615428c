//! What a seed decides before anything happens: limits, timeout, how rough the run is and which kinds of faults it has.
//!
//! Not every run has every fault: in a run without rollbacks, say, long transfers come to their end.

use kho_replication::{intake::IntakeConfig, uplink::UplinkConfig};
use kho_storage::stream::SEGMENT_BYTES_MAX;

use crate::dice::Dice;

/// Faults that are started from outside, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    CutLine,
    SlowLine,
    CutOffSite,
    KillLeader,
    ChangeLeader,
    StopNode,
    RestartSite,
    RollBackAdopter,
    RollBackAuthor,
    SetClock,
    SetClockFarAhead,
    FillDisk,
    FailReads,
    FailWrites,
    SwapParents,
    CrossTransfers,
    SendOtherEpoch,
}

/// How often each kind comes, in a run that has it.
const TROUBLES: [(Trouble, u64); 16] = [
    (Trouble::CutLine, 8),
    (Trouble::SlowLine, 3),
    (Trouble::CutOffSite, 4),
    (Trouble::KillLeader, 4),
    (Trouble::ChangeLeader, 4),
    (Trouble::StopNode, 2),
    (Trouble::RestartSite, 3),
    (Trouble::RollBackAdopter, 2),
    (Trouble::RollBackAuthor, 1),
    (Trouble::SetClock, 2),
    (Trouble::SetClockFarAhead, 1),
    (Trouble::FillDisk, 2),
    (Trouble::FailReads, 3),
    (Trouble::FailWrites, 2),
    (Trouble::SwapParents, 3),
    (Trouble::SendOtherEpoch, 1),
];

/// One run in so many is about two carriers that transfer one origin to one parent at the same time: by themselves they seldom do.
const CROSSED_ONE_IN: u64 = 6;
/// Of the others, one in so many is about authors that come back older than what their parents remember.
const SET_BACK_ONE_IN: u64 = 8;

#[derive(Debug, Clone)]
pub struct Plan {
    pub uplink: UplinkConfig,
    pub intake: IntakeConfig,
    /// Bytes of each stream that are kept though the parent holds them.
    pub keep_bytes: u64,
    /// Between two looks whether there is something to forget.
    pub trim_interval_ms: u64,
    pub idle_head_ms: u64,
    /// How long clients enter and faults come.
    pub troubled_ms: u64,
    /// On average, between two requests and between two faults.
    pub write_interval_ms: u64,
    pub trouble_interval_ms: u64,
    /// Kinds of faults of this run, each as often as its weight.
    pub troubles: Vec<Trouble>,
    /// At every point where a site can be killed between propose and answer, it is killed once in so many times. 0: never.
    pub crash_one_in: u64,
    /// Once in so many times a proposal is lost, its outcome is lost, the site is busy. 0: never.
    pub loss_one_in: u64,
    /// The longest that a frame takes, usually.
    pub latency_ms_max: u64,
    /// The longest that a site takes to commit, usually.
    pub commit_ms_max: u64,
}

impl Plan {
    pub fn draw(dice: &mut Dice) -> Self {
        let mut troubles = Vec::new();
        for (trouble, weight) in TROUBLES {
            if dice.chance(2, 3) {
                troubles.extend((0..weight).map(|_| trouble));
            }
        }
        let segment_bytes_max = dice.pick(&[150, 400, 1_000, 4_000]);
        let plan = Self {
            uplink: UplinkConfig {
                segment_bytes_max,
                piece_bytes_max: dice.pick(&[60, 150, 400]),
                in_flight_bytes_max: segment_bytes_max * dice.between(1, 4) as usize,
                in_flight_segments_max: dice.between(1, 4) as usize,
                dial_timeout_ms: 1_500,
                welcome_timeout_ms: 1_500,
                idle_timeout_ms: 4_000,
                answer_timeout_ms: 9_000,
                backoff_ms_min: 100,
                backoff_ms_max: 2_000,
                failures_max: dice.between(1, 3) as u32,
                redirects_max: 5,
                stable_ms: 3_000,
                probe_interval_ms: dice.pick(&[1_000, 3_000]),
                parked_retry_ms: 3_000,
                parked_retry_moved_ms: 1_000,
                forked_retry_ms: 8_000,
                fruitless_restarts_max: 5,
                record_interval_ms: dice.pick(&[50, 300, 1_000]),
                register_retry_ms: 500,
            },
            intake: IntakeConfig {
                hello_timeout_ms: 2_000,
                queued_bytes_max: SEGMENT_BYTES_MAX + dice.pick(&[1, 500, 100_000]),
                queued_frames_max: dice.pick(&[1, 3, 100]),
                busy_retry_ms: dice.pick(&[50, 500]),
                evidence_max: 4,
            },
            keep_bytes: dice.pick(&[0, 0, 300, 2_000]),
            trim_interval_ms: dice.pick(&[500, 2_000]),
            idle_head_ms: dice.pick(&[4_000, 9_000]),
            troubled_ms: dice.between(8_000, 24_000),
            write_interval_ms: dice.pick(&[300, 700, 1_200]),
            trouble_interval_ms: dice.pick(&[700, 1_500, 3_000]),
            troubles,
            crash_one_in: dice.pick(&[0, 150, 600]),
            loss_one_in: dice.pick(&[0, 12, 60]),
            latency_ms_max: dice.pick(&[20, 200, 600]),
            commit_ms_max: dice.pick(&[10, 100, 400]),
        };
        if dice.chance(1, CROSSED_ONE_IN) {
            plan.with_crossed_transfers()
        } else if dice.chance(1, SET_BACK_ONE_IN) {
            plan.with_authors_set_back()
        } else {
            plan
        }
    }

    /// Streams grow and are trimmed fast, and a parent comes back older again and again: it takes transfers most of the time.
    fn with_crossed_transfers(self) -> Self {
        Self {
            keep_bytes: 0,
            trim_interval_ms: 500,
            troubled_ms: 30_000,
            write_interval_ms: 300,
            trouble_interval_ms: 1_500,
            troubles: vec![Trouble::CrossTransfers, Trouble::CrossTransfers, Trouble::CrossTransfers, Trouble::CutLine, Trouble::SlowLine],
            ..self
        }
    }

    /// Parents forget batches fast, and authors write another history over those that they have forgotten.
    fn with_authors_set_back(self) -> Self {
        Self {
            keep_bytes: 0,
            trim_interval_ms: 500,
            write_interval_ms: 300,
            troubles: vec![Trouble::RollBackAuthor, Trouble::RollBackAuthor, Trouble::CutLine, Trouble::CutOffSite, Trouble::ChangeLeader],
            ..self
        }
    }
}
