//! Operators who say that a machine's clock is right (`kho site confirm-time`).
//!
//! In some runs clocks are a little off when they are confirmed, as people take clocks for right: that must take nothing back. In others an
//! operator confirms a clock that is ahead, so that the site stamps a time which its parents do not believe. The way back is to set the clock and
//! to confirm it again, until nothing lies ahead any more. Such a mistake happens once to an author's site, and is shorter than request keys are
//! kept.

use kho_storage::{
    command::{Command, Outcome},
    ids::SiteId,
    stream::HEAD_AHEAD_MS_MAX,
};

use super::{SKEW_MS, World};
use crate::{
    agenda::Event,
    counts::{Fault, Step},
    dice::Dice,
    plan, tree,
};

/// Between two orders.
const PAUSE_MS: (u64, u64) = (500, 2_500);
/// How far a clock is ahead that is confirmed all the same, and for how long.
const MISTAKEN_MS: [i64; 2] = [10 * 60_000, 3_600_000];
const MISTAKEN_FOR_MS: (u64, u64) = (500, 5_000);
/// Between two polls of a site that was misled.
const POLL_MS: u64 = 1_000;

/// Whether operators confirm clocks, and which. They draw apart: what runs without them draw stays the same.
pub(super) struct Operators {
    dice: Dice,
    is_due: bool,
    make_mistakes: bool,
}

impl Operators {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed.rotate_left(16));
        let is_due = seed % plan::CONFIRMED_ONE_IN == plan::CONFIRMED_REMAINDER;
        let make_mistakes = is_due && dice.chance(1, 2);
        Self { dice, is_due, make_mistakes }
    }

    pub fn make_mistakes(&self) -> bool {
        self.make_mistakes
    }
}

impl World {
    pub(super) fn begin_confirming(&mut self) {
        if self.operators.is_due {
            self.after(PAUSE_MS.1, Event::ConfirmsTime);
        }
    }

    pub(super) fn confirms_time(&mut self) {
        if self.healing {
            return;
        }
        if self.operators.make_mistakes {
            let id = self.operators.dice.pick(&tree::AUTHORS);
            self.confirms_wrong_time(id);
        } else {
            let id = SiteId(self.operators.dice.between(1, tree::SITES.into()) as u32);
            self.confirms_right_time(id);
        }
        let ms = self.operators.dice.between(PAUSE_MS.0, PAUSE_MS.1);
        self.after(ms, Event::ConfirmsTime);
    }

    /// A clock that people take for right.
    fn confirms_right_time(&mut self, id: SiteId) {
        let ms = i64::try_from(self.operators.dice.between(SKEW_MS.0, SKEW_MS.1)).unwrap_or(0);
        let is_ahead = self.operators.dice.chance(1, 2);
        if self.site(id).leader.is_none() || self.site(id).clock.is_far_off() {
            return;
        }
        self.skew(id, if is_ahead { ms } else { -ms });
        self.counts.step(Step::TimeConfirmed);
        self.confirm_time(id);
    }

    /// One clock at a time is wrong, and what carries the streams of others is not misled after they were: it would believe them.
    fn confirms_wrong_time(&mut self, id: SiteId) {
        let (ms, for_ms) = (self.operators.dice.pick(&MISTAKEN_MS), self.operators.dice.between(MISTAKEN_FOR_MS.0, MISTAKEN_FOR_MS.1));
        let misled = &self.ledger.misled;
        let would_believe = tree::PARENTS.contains(&id) && !misled.is_empty();
        if would_believe || misled.contains(&id) || self.sites.iter().any(|site| site.clock.is_far_off()) {
            return;
        }
        if self.site(id).leader.is_none() {
            return;
        }
        self.ledger.misled.insert(id);
        self.counts.fault(Fault::WrongTimeConfirmed);
        self.skew(id, ms);
        self.confirm_time(id);
        self.after(for_ms, Event::TakesTimeBack(id));
    }

    /// The clock is set, and confirmed again as long as anything lies ahead: an entry may have been on its way.
    pub(super) fn takes_time_back(&mut self, id: SiteId) {
        self.after(POLL_MS, Event::TakesTimeBack(id));
        if self.site(id).leader.is_none() {
            return;
        }
        let was_far_off = self.site(id).clock.is_far_off();
        if was_far_off {
            self.skew(id, 0);
        }
        let now = self.now;
        let machine = self.site(id).clock.machine(now);
        let committed = self.site(id).disk.warehouse.committed_time().expect("a memory does not fail");
        let is_ahead = committed.is_some_and(|time| time.0.saturating_sub(machine.0) > HEAD_AHEAD_MS_MAX);
        if is_ahead {
            self.counts.step(Step::TimeTakenBack);
        }
        if is_ahead || was_far_off {
            self.confirm_time(id);
        }
    }

    /// As `node/src/http/site.rs`: the node goes by its machine's clock, and the site takes back what it stamped beyond it.
    fn confirm_time(&mut self, id: SiteId) {
        let now = self.now;
        let site_time = self.site(id).confirm_clock(now);
        self.note(|| format!("-- {}: an operator confirms that it is {site_time}", tree::name(id)));
        let outcome = self.commit_now(id, &Command::ConfirmTime { site_time });
        if outcome != Outcome::Recorded {
            self.violated(format!("{}: the order to confirm the time came to {outcome:?}", tree::name(id)));
        }
    }
}
