//! What a leader does by itself: signing heads, trimming, and passing on what was applied; as `node/src/{heads,maintenance,uplink_driver}.rs` do.

use kho_replication::{link_time::LinkTime, uplink::UplinkInput};
use kho_storage::{
    command::Command,
    ids::{Epoch, OriginId, SiteId, SiteTime},
    stream::{Head, SignedHead},
    warehouse::{OriginState, WarehouseEvent},
};

use super::{TICK_MS, World};
use crate::{
    agenda::{Event, Proposer, Term},
    tree,
};

/// Entries between two flushes, on average.
const FLUSHED_ONE_IN: u64 = 12;

impl World {
    pub(super) fn ticks(&mut self, id: SiteId) {
        self.after(TICK_MS, Event::Tick(id));
        self.tick_intakes(id);
        self.exchange_clocks(id);
        let Some(term) = self.site(id).term() else { return };
        self.notify_uplink(id, term, UplinkInput::Tick);
        self.sign_heads(id, term);
        self.trim(id);
    }

    /// Signs the heads that are due and proposes them.
    pub(super) fn sign_heads(&mut self, id: SiteId, term: Term) {
        if self.site(id).term() != Some(term) || !tree::AUTHORS.contains(&id) {
            return;
        }
        let origin = OriginId(id.0);
        let now = self.clock(id);
        let idle_ms = self.plan.idle_head_ms;
        let site = self.site(id);
        let Some(node) = site.leader.as_ref().map(|leader| leader.node) else { return };
        // An author that has written nothing yet signs that too.
        let held = site.computed_by(node).origin(origin).expect("a memory does not fail");
        let state = held.unwrap_or_else(|| OriginState::empty(origin, Epoch::first(tree::TREE, origin)));
        let is_set_back = site.disk.warehouse.set_back(origin).expect("a memory does not fail").is_some();
        if is_set_back && state.head_seq == Some(state.last()) {
            return;
        }
        let Some(head) = due_head(origin, &state, now, idle_ms) else { return };
        if !self.agrees_on_head(id, &head) {
            return;
        }
        let signed = SignedHead::sign(head, id, node, tree::signing_key(id, node)).expect("an Ed25519 key always signs");
        self.propose(id, Proposer::Maintenance, &Command::CommitHead { signed });
    }

    fn trim(&mut self, id: SiteId) {
        let (now, keep_bytes) = (self.now, self.plan.keep_bytes);
        let again = now.after_ms(self.plan.trim_interval_ms);
        let site = self.site(id);
        if site.trim_at > now {
            return;
        }
        site.trim_at = again;
        let register = site.disk.warehouse.register();
        let Some(parent) = register.and_then(|register| register.active_parent(id)) else { return };
        let acknowledged = site.disk.warehouse.read(|reading| reading.parent_cursors(parent)).expect("a memory does not fail");
        let held = |origin, oldest_kept| acknowledged.iter().any(|cursor| cursor.origin == origin && cursor.next > oldest_kept);
        let origins = site.disk.warehouse.origins().expect("a memory does not fail");
        if origins.iter().any(|(origin, state)| state.kept_bytes > keep_bytes && held(*origin, state.oldest_kept)) {
            self.propose(id, Proposer::Maintenance, &Command::Trim { keep_bytes });
        }
    }

    /// After an entry: the site's tasks are notified soon, and the disk is flushed now and then.
    pub(super) fn after_entry(&mut self, id: SiteId) {
        let ms = self.dice.below(15);
        self.after(ms, Event::NotifyApplied(id));
        if self.dice.chance(1, FLUSHED_ONE_IN) {
            self.site(id).disk.flush();
        }
    }

    pub(super) fn notify_applied(&mut self, id: SiteId) {
        let events = self.site(id).disk.take_applied_events();
        let register_changed =
            events.iter().any(|event| matches!(event, WarehouseEvent::RegisterChanged | WarehouseEvent::EverythingChanged));
        // Whoever leads: intakes may stand at any node.
        if register_changed {
            self.notify_intakes_of_register(id);
        }
        let level_raised = events.contains(&WarehouseEvent::LevelRaised);
        if level_raised {
            self.notify_intakes_of_level(id);
        }
        let Some(term) = self.site(id).term() else { return };
        if level_raised {
            let level = self.site(id).disk.warehouse.level();
            self.notify_uplink(id, term, UplinkInput::LevelRaised(level));
        }
        let Some(term) = self.site(id).term().filter(|now| *now == term) else { return };
        if events.iter().any(|event| matches!(event, WarehouseEvent::OwnBatchWritten(_))) {
            // More batches may follow before the signer has its turn.
            let ms = self.dice.between(1, 150);
            self.after(ms, Event::SignHeads { site: id, term });
        }
        for event in &events {
            if let WarehouseEvent::OriginDiscarded(origin) = event {
                self.notify_uplink(id, term, UplinkInput::StreamDiscarded(*origin));
            }
        }
        let mut moved: Vec<OriginId> =
            events.iter().filter_map(|event| if let WarehouseEvent::StreamMoved(origin) = event { Some(*origin) } else { None }).collect();
        if events.contains(&WarehouseEvent::EverythingChanged) {
            moved.extend(self.site(id).origins());
        }
        moved.sort_unstable();
        moved.dedup();
        self.notify_moved(id, term, moved);
        if register_changed {
            self.notify_register(id, term);
        }
    }
}

/// The head that is due, if one is: when batches have no head yet, or when the newest head is too old.
fn due_head(origin: OriginId, state: &OriginState, now: SiteTime, idle_ms: u64) -> Option<Head> {
    let is_idle = state.head_seq == Some(state.last());
    let age_ms = LinkTime(u64::try_from(now.0).unwrap_or(0)).ms_since(LinkTime(u64::try_from(state.watermark.0).unwrap_or(0)));
    if is_idle && age_ms < idle_ms {
        return None;
    }
    // Batches may be on their way while this is signed: only the head of an idle stream states that the stream is complete up to now.
    let site_time = if is_idle { now.max(state.batch_time) } else { state.batch_time }.max(state.watermark);
    Some(state.head(origin, site_time))
}
