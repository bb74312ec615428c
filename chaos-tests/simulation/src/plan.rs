//! What a seed decides before a run begins: limits, timeouts, how often something fails, and which kinds of faults are injected.
//!
//! Not every run has every fault. In a run without rollbacks, for example, long transfers come to their end.

use kho_replication::{intake::IntakeConfig, uplink::UplinkConfig};
use kho_storage::{level::LevelOffer, stream::SEGMENT_BYTES_MAX};

use crate::dice::Dice;

/// Faults that are injected from outside, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InjectedFault {
    CutLink,
    SlowLink,
    CutOffSite,
    KillLeader,
    ChangeLeader,
    StopNode,
    RestartSite,
    RollBackAdopter,
    RollBackAuthor,
    FoundAnew,
    SetClock,
    SetClockFarOff,
    FillDisk,
    FailReads,
    FailWrites,
    SwapParents,
    CrossTransfers,
    SendOtherEpoch,
    ReplaceNode,
    RemovedNodeActs,
    MoveOffice,
}

/// How often each kind comes, in a run that has it.
const INJECTED_FAULTS: [(InjectedFault, u64); 17] = [
    (InjectedFault::CutLink, 8),
    (InjectedFault::SlowLink, 3),
    (InjectedFault::CutOffSite, 4),
    (InjectedFault::KillLeader, 4),
    (InjectedFault::ChangeLeader, 4),
    (InjectedFault::StopNode, 2),
    (InjectedFault::RestartSite, 3),
    (InjectedFault::RollBackAdopter, 2),
    (InjectedFault::RollBackAuthor, 1),
    (InjectedFault::FoundAnew, 1),
    (InjectedFault::SetClock, 2),
    (InjectedFault::SetClockFarOff, 2),
    (InjectedFault::FillDisk, 2),
    (InjectedFault::FailReads, 3),
    (InjectedFault::FailWrites, 2),
    (InjectedFault::SwapParents, 3),
    (InjectedFault::SendOtherEpoch, 1),
];

/// One run in so many is about two carriers that transfer one origin to one parent at the same time: without this they seldom do.
const CROSSED_ONE_IN: u64 = 6;
/// Of the others, one in so many is about authors that come back older than what their parents remember.
const SET_BACK_ONE_IN: u64 = 8;

/// One run in so many is about nodes that are replaced and come back with their old data.
pub const REPLACED_ONE_IN: u64 = 8;

/// One run in so many upgrades the tree.
pub const UPGRADED_ONE_IN: u64 = 4;
/// One run in so many is about offices that move: those whose seeds leave this remainder, so that the other seeds draw what they drew.
pub const MOVED_ONE_IN: u64 = 8;
pub const MOVED_REMAINDER: u64 = 6;

/// One run in so many is about operators who confirm the time: those whose seeds leave this remainder.
pub const CONFIRMED_ONE_IN: u64 = 8;
pub const CONFIRMED_REMAINDER: u64 = 4;

/// One run in so many is about leaders whose disks are damaged: those whose seeds leave this remainder.
pub const DAMAGED_ONE_IN: u64 = 8;
pub const DAMAGED_REMAINDER: u64 = 2;

#[derive(Debug, Clone)]
pub struct Plan {
    pub uplink: UplinkConfig,
    pub intake: IntakeConfig,
    /// Bytes of each stream that are kept though the parent holds them.
    pub keep_bytes: u64,
    /// Between two checks whether there is something to trim.
    pub trim_interval_ms: u64,
    pub idle_head_ms: u64,
    /// How long clients enter and faults come.
    pub faulty_ms: u64,
    /// On average, between two requests and between two faults.
    pub write_interval_ms: u64,
    pub fault_interval_ms: u64,
    /// Kinds of faults of this run, each as often as its weight.
    pub injected_faults: Vec<InjectedFault>,
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
        let mut injected_faults = Vec::new();
        for (fault, weight) in INJECTED_FAULTS {
            if dice.chance(2, 3) {
                injected_faults.extend((0..weight).map(|_| fault));
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
                link_bytes_per_second_min: 1_000_000,
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
                levels: LevelOffer::default(),
            },
            intake: IntakeConfig {
                hello_timeout_ms: 2_000,
                queued_bytes_max: SEGMENT_BYTES_MAX + dice.pick(&[1, 500, 100_000]),
                queued_frames_max: dice.pick(&[1, 3, 100]),
                busy_retry_ms: dice.pick(&[50, 500]),
                evidence_max: 4,
                set_back_report_ms: 2_000,
                levels: LevelOffer::default(),
                transfer_silent_ms: 12_000,
            },
            keep_bytes: dice.pick(&[0, 0, 300, 2_000]),
            trim_interval_ms: dice.pick(&[500, 2_000]),
            idle_head_ms: dice.pick(&[4_000, 9_000]),
            faulty_ms: dice.between(8_000, 24_000),
            write_interval_ms: dice.pick(&[300, 700, 1_200]),
            fault_interval_ms: dice.pick(&[700, 1_500, 3_000]),
            injected_faults,
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
            faulty_ms: 30_000,
            write_interval_ms: 300,
            fault_interval_ms: 1_500,
            injected_faults: vec![
                InjectedFault::CrossTransfers,
                InjectedFault::CrossTransfers,
                InjectedFault::CrossTransfers,
                InjectedFault::CutLink,
                InjectedFault::SlowLink,
            ],
            ..self
        }
    }

    /// Nodes are replaced, and those that were removed act on what they once were.
    pub fn with_nodes_replaced(mut self) -> Self {
        let more = [
            (InjectedFault::ReplaceNode, 6),
            (InjectedFault::RemovedNodeActs, 10),
            (InjectedFault::ChangeLeader, 3),
            (InjectedFault::StopNode, 2),
        ];
        self.injected_faults.extend(more.into_iter().flat_map(|(fault, weight)| std::iter::repeat_n(fault, weight)));
        self
    }

    /// All nodes of a site get other addresses at once, again and again.
    pub fn with_offices_moved(mut self) -> Self {
        self.injected_faults.extend([InjectedFault::MoveOffice; 6]);
        self
    }

    /// Operators confirm times of the future and take them back. They take them back to the right time, so no clock is ahead by less: parents
    /// would believe it, and rows would follow that are older (a known limit). Nor does an author come back that has forgotten a mistake.
    pub fn with_wrong_times_confirmed(mut self) -> Self {
        let excluded = [InjectedFault::SetClock, InjectedFault::RollBackAuthor, InjectedFault::FoundAnew];
        self.injected_faults.retain(|fault| !excluded.contains(fault));
        self
    }

    /// Parents forget batches fast, and authors write another history over those that they have forgotten.
    fn with_authors_set_back(self) -> Self {
        Self {
            keep_bytes: 0,
            trim_interval_ms: 500,
            write_interval_ms: 300,
            injected_faults: vec![
                InjectedFault::RollBackAuthor,
                InjectedFault::RollBackAuthor,
                InjectedFault::FoundAnew,
                InjectedFault::CutLink,
                InjectedFault::CutOffSite,
                InjectedFault::ChangeLeader,
            ],
            ..self
        }
    }
}
