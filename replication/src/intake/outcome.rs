//! What this site decided, and how the child is notified.

use kho_storage::{
    command::{Outcome, ParentCursor, Refusal},
    planted::{Bug, planted},
};

use super::{Intake, IntakeAction, IntakeAlarm, ProposeFailure};
use crate::frames::{Cursor, FrameId, Goodbye, ParentFrame};

impl Intake {
    pub(super) fn proposed(&mut self, id: FrameId, result: Result<Outcome, ProposeFailure>) {
        let busy_retry_ms = self.config.busy_retry_ms;
        let Some(open) = self.open() else { return };
        let Some((origin, end)) = open.proposals.remove(id) else { return };
        match result {
            Ok(Outcome::Adopted(cursor)) if cursor.origin == origin => {
                if let Some(end) = end {
                    self.note_agreement(origin, end, Cursor::of(&cursor));
                }
                self.adopted(id, cursor);
            }
            Ok(Outcome::Transfer(status)) => {
                open.transfer_moved(&status);
                self.actions.push_back(IntakeAction::SendFrame(ParentFrame::TransferWants { id, status }));
            }
            // Its turn comes: the child begins again until it does.
            Ok(Outcome::Refused(Refusal::TransferTaken { .. })) => self.busy(id, origin, self.config.transfer_retry_ms()),
            Ok(Outcome::Refused(refusal)) => self.refuse(id, origin, refusal),
            Ok(_) => {
                // The child's frame is safe to send again, whatever this was.
                let carrier = self.child.site;
                self.actions.push_back(IntakeAction::RaiseAlarm(IntakeAlarm::OutcomeOutOfPlace { carrier, id }));
                self.busy(id, origin, busy_retry_ms);
            }
            Err(ProposeFailure::NotLeader { addresses }) => self.redirect(addresses),
            Err(ProposeFailure::Busy { retry_after_ms }) => self.busy(id, origin, retry_after_ms),
            Err(ProposeFailure::OutcomeUnknown) if planted(Bug::UnknownTakenForCommitted) && open.lanes.contains_key(&origin) => {
                let cursor = open.lanes[&origin].expected().for_origin(origin);
                self.adopted(id, cursor);
            }
            // A timed-out proposal is unknown, never absent. Sent again, it is compared and skipped if it was committed.
            Err(ProposeFailure::OutcomeUnknown) => self.busy(id, origin, busy_retry_ms),
            Err(ProposeFailure::Stopping) => self.close(Goodbye::Stopping),
        }
    }

    fn adopted(&mut self, id: FrameId, cursor: ParentCursor) {
        self.alarmed.remove(&cursor.origin);
        if let Some(lane) = self.open().and_then(|open| open.lanes.get_mut(&cursor.origin)) {
            lane.committed(Cursor::of(&cursor));
        }
        self.actions.push_back(IntakeAction::SendFrame(ParentFrame::Adopted { id, cursor }));
    }
}
