//! A child whose disks came back older, or that runs twice: it stands behind what this site holds of the child's own stream, or in
//! another history of it.
//!
//! A hello may come late, over a connection that the child has left, or from a leader that was replaced: what it says of the child is
//! reported only once the child has answered the welcome and some time has passed. A second history proves itself.
//!
//! Invariant: the report stands until the same connection has come to where this site stands; what another machine of the same site
//! sends does not end it (test `promise_6_an_honest_head_of_a_site_does_not_end_the_report_about_its_double`).

use kho_storage::{
    command::Refusal,
    ids::{OriginId, StreamSeq},
    stream::SignedHead,
};

use super::{Intake, IntakeAction, IntakeAlarm};
use crate::{
    frames::{Cursor, StreamHeld},
    link_time::LinkTime,
};

/// An origin of the child's own of which it holds less than this site, or another history.
#[derive(Debug)]
pub(super) struct Behind {
    held: Cursor,
    here: Cursor,
    /// The first tick since it is known.
    since: Option<LinkTime>,
    /// Whether the child sent anything since.
    answered: bool,
    /// Whether it sent the other history itself.
    proven: bool,
}

impl Intake {
    /// Compares what the child says it holds of its own streams with what this site holds of them. A stream that it does not name it
    /// does not hold.
    pub(super) fn compare_child(&mut self, streams: &[StreamHeld], heads: &[SignedHead]) {
        let child = self.child.site;
        // A head of an origin's earlier author says nothing of this child.
        for head in heads.iter().filter(|signed| signed.site == child).map(|signed| &signed.head) {
            let here = Cursor { epoch: head.epoch, next: head.seq.next() };
            let named = streams.iter().find(|held| held.origin == head.origin);
            let held = named.map_or(Cursor { epoch: head.epoch, next: StreamSeq(1) }, |held| Cursor { epoch: held.epoch, next: held.next });
            if held < here {
                self.behind.insert(head.origin, Behind { held, here, since: None, answered: false, proven: false });
            }
        }
    }

    /// The child sent a history of its own stream that contradicts the one that is held.
    pub(super) fn note_contradiction(&mut self, origin: OriginId, refusal: &Refusal) {
        let contradicts = matches!(refusal, Refusal::Forked { .. } | Refusal::BadChain { .. });
        if !contradicts || !self.is_author(origin) {
            return;
        }
        let Some(lane) = self.open().and_then(|open| open.lanes.get(&origin).copied()) else { return };
        let (held, here) = (lane.expected(), lane.adopted());
        let behind = self.behind.entry(origin).or_insert(Behind { held, here, since: None, answered: true, proven: true });
        behind.proven = true;
    }

    /// This site holds the child's stream up to `here`, as the child has it by its newest head, up to `end`.
    pub(super) fn note_agreement(&mut self, origin: OriginId, end: Cursor, here: Cursor) {
        if end == here && self.is_author(origin) && self.behind.remove(&origin).is_some() {
            self.actions.push_back(IntakeAction::ChildCaughtUp { origin });
        }
    }

    /// The child sent something since it was welcomed: it is no connection that the child has left already.
    pub(super) fn note_answer(&mut self) {
        self.behind.values_mut().for_each(|behind| behind.answered = true);
    }

    /// Reports what stands for long enough, and says it again each time: an operator who took the report away must not be left with a
    /// site that reads healthy.
    pub(super) fn report_set_backs(&mut self, now: LinkTime) {
        let (child, wait_ms) = (self.child.site, self.config.set_back_report_ms);
        for (origin, behind) in &mut self.behind {
            let since = *behind.since.get_or_insert(now);
            if behind.proven || (behind.answered && now.ms_since(since) >= wait_ms) {
                let alarm = IntakeAlarm::ChildSetBack { child, origin: *origin, held: behind.held, here: behind.here };
                self.actions.push_back(IntakeAction::RaiseAlarm(alarm));
            }
        }
    }

    fn is_author(&self, origin: OriginId) -> bool {
        self.register.author(origin) == Some(self.child.site)
    }
}
