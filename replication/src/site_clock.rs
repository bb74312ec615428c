//! Which time a node believes: its machine's clock, as long as nothing contradicts it.
//!
//! What a site has stamped can't be taken back, and everybody above waits for a watermark of the future until that time has come. So a
//! node stamps no later than what is *vouched for*. These vouch, and from then on a clock that nobody sets counts on:
//!
//! | what | how it vouches |
//! |---|---|
//! | what the site committed before the node started | that time had come |
//! | the site's parent | the time that both clocks have passed has come |
//! | any other node: of this site, of a child | when both clocks agree, they are right |
//! | an operator (`kho site confirm-time`) | this machine's clock is right |
//! | the node's certificate, for a site that has committed nothing | it was signed at that time |
//!
//! ```text
//!            before its certificate      vouched for − 2 min      vouched for + 2 min
//!  machine ────────┼───────────────────────────┼────────────────────────┼──────────────►
//!  stamped  vouched for      the machine's clock, as it is               vouched for
//!  standing    behind               behind              plausible           ahead
//! ```
//!
//! Invariant: two clocks that are wrong alike can mislead a site, one can't (test `promise_9_one_clock_of_the_future_stamps_nothing_of_it`).

use std::time::Duration;

use kho_storage::{
    ids::SiteTime,
    planted::{Bug, planted},
};

use crate::{link_time::LinkTime, tls::Validity};

/// Two clocks that differ by no more agree, and a clock that jumps no further is believed.
pub const CLOCK_TOLERANCE_MS: i64 = 2 * 60 * 1000;
/// Between two frames in which a node tells the other end of a link what its machine's clock shows.
pub const CLOCK_SENT_INTERVAL: Duration = Duration::from_secs(5);
/// A plausible clock vouches for itself again after this long: small corrections never add up to a jump.
const RENEWED_MS: u64 = 3_600_000;

/// Who says what its machine's clock shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Neighbour {
    /// A node of the parent.
    Parent,
    /// A node of this site or of a child.
    Other,
}

/// What is to be thought of the machine's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockStanding {
    /// Nothing contradicts it.
    Plausible,
    /// It shows more than what is vouched for; `expected` is stamped instead.
    Ahead { expected: SiteTime },
    /// It shows less than what is vouched for, or than what the parent says.
    Behind { expected: SiteTime },
}

/// One reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// The time to go by.
    pub time: SiteTime,
    /// What the machine's clock shows.
    pub machine: SiteTime,
    /// What is vouched for.
    pub vouched: SiteTime,
    pub standing: ClockStanding,
}

/// Which time a node believes. Pure: both of the machine's clocks are passed in.
#[derive(Debug, Clone)]
pub struct SiteClock {
    /// The node's own certificate is good from here on: no earlier time is true.
    earliest: SiteTime,
    latest: SiteTime,
    vouched: SiteTime,
    vouched_at: LinkTime,
    /// The site has committed nothing, and it is not known yet whether it has a parent.
    is_fresh: bool,
    /// What the parent said last, and when.
    parent: Option<(SiteTime, LinkTime)>,
}

impl SiteClock {
    /// The clock of a process that starts at `now`. `own` is the validity of its certificate, `committed` the newest time that its site
    /// has committed, if there is one.
    pub fn new(own: Validity, committed: Option<SiteTime>, now: LinkTime) -> Self {
        Self {
            earliest: own.not_before,
            latest: own.not_after,
            vouched: committed.unwrap_or_else(|| own.issued_at()),
            vouched_at: now,
            is_fresh: committed.is_none(),
            parent: None,
        }
    }

    /// The site had committed `committed` before the process started, as its log shows once it is applied.
    pub fn has_committed(&mut self, committed: SiteTime, now: LinkTime) {
        if self.is_fresh || committed > self.vouched_at(now) {
            self.confirm(committed, now);
        }
    }

    /// The site has its register. Nobody vouches for the first clock of a tree: a root that has committed nothing goes by its own.
    pub fn settle(&mut self, is_root: bool, machine: SiteTime, now: LinkTime) {
        if std::mem::take(&mut self.is_fresh) && is_root && (self.earliest..=self.latest).contains(&machine) {
            self.confirm(machine, now);
        }
    }

    /// A neighbour says what its machine's clock shows.
    pub fn hear(&mut self, neighbour: Neighbour, theirs: SiteTime, machine: SiteTime, now: LinkTime) {
        if neighbour == Neighbour::Parent {
            self.parent = Some((theirs, now));
        }
        if machine < self.earliest {
            return;
        }
        if theirs.0.abs_diff(machine.0) <= CLOCK_TOLERANCE_MS.unsigned_abs() {
            self.confirm(machine, now);
        } else if neighbour == Neighbour::Parent {
            let passed_by_both = theirs.min(machine);
            if passed_by_both > self.vouched_at(now) {
                self.confirm(passed_by_both, now);
            }
        }
    }

    /// `machine` is right, whatever was believed so far.
    pub fn confirm(&mut self, machine: SiteTime, now: LinkTime) {
        (self.vouched, self.vouched_at, self.is_fresh) = (machine, now, false);
    }

    /// The time to go by when the machine's clock shows `machine`.
    pub fn read(&mut self, machine: SiteTime, now: LinkTime) -> ClockReading {
        let vouched = self.vouched_at(now);
        let is_lost = machine < self.earliest;
        let by_parent = self.parent.map_or(vouched, |(said, at)| advanced(said, now.ms_since(at)));
        let standing = if !is_lost && self.is_fresh {
            ClockStanding::Plausible
        } else if machine.0 > vouched.0.saturating_add(CLOCK_TOLERANCE_MS) {
            ClockStanding::Ahead { expected: vouched }
        } else if is_lost || machine.0 < vouched.max(by_parent).0.saturating_sub(CLOCK_TOLERANCE_MS) {
            ClockStanding::Behind { expected: vouched.max(by_parent) }
        } else {
            ClockStanding::Plausible
        };
        if standing == ClockStanding::Plausible && !self.is_fresh && now.ms_since(self.vouched_at) >= RENEWED_MS {
            self.confirm(machine, now);
        }
        let is_ahead = matches!(standing, ClockStanding::Ahead { .. }) && !planted(Bug::JumpedClockBelieved);
        ClockReading { time: if is_lost || is_ahead { vouched } else { machine }, machine, vouched, standing }
    }

    fn vouched_at(&self, now: LinkTime) -> SiteTime {
        advanced(self.vouched, now.ms_since(self.vouched_at))
    }
}

impl ClockReading {
    /// The time by which a node judges certificates: its machine's, as long as its own certificate (`own`) is in its time by it; else
    /// what is vouched for, if the certificate is in its time by that. So neither a lost clock nor one of the future keeps anybody out,
    /// and no committed time keeps anybody out once the clock is right.
    pub fn certificate_time(&self, own: Validity) -> SiteTime {
        certificate_time(self.machine, self.vouched, own)
    }
}

/// See [`ClockReading::certificate_time`].
pub(crate) fn certificate_time(machine: SiteTime, vouched: SiteTime, own: Validity) -> SiteTime {
    let in_time = |time: SiteTime| (own.not_before..=own.not_after).contains(&time);
    if !in_time(machine) && in_time(vouched) { vouched } else { machine }
}

fn advanced(time: SiteTime, ms: u64) -> SiteTime {
    SiteTime(time.0.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests;
