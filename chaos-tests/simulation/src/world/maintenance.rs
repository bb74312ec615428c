//! What a leader does by itself: heads, forgetting, and passing on what was applied; as `node/src/{heads,maintenance,upward}.rs` do.

use kho_replication::{link_time::LinkTime, uplink::UplinkInput};
use kho_storage::{
    command::Command,
    ids::{Epoch, OriginId, SiteId, SiteTime},
    stream::{Head, SignedHead},
    warehouse::{Applied, OriginState},
};

use super::{TICK_MS, World};
use crate::{
    agenda::{Asker, Event, Reign},
    tree,
};

/// Entries between two flushes, on average.
const FLUSHED_ONE_IN: u64 = 12;

impl World {
    pub(super) fn ticks(&mut self, id: SiteId) {
        self.after(TICK_MS, Event::Tick(id));
        self.tick_intakes(id);
        let Some(reign) = self.site(id).reign() else { return };
        self.notify_uplink(id, reign, UplinkInput::Tick);
        self.sign_heads(id, reign);
        self.trim(id);
    }

    /// Signs the heads that are due and proposes them.
    pub(super) fn sign_heads(&mut self, id: SiteId, reign: Reign) {
        if self.site(id).reign() != Some(reign) || !tree::AUTHORS.contains(&id) {
            return;
        }
        let origin = OriginId(id.0);
        let now = self.clock(id);
        let idle_ms = self.plan.idle_head_ms;
        let site = self.site(id);
        let Some(node) = site.leader.as_ref().map(|leader| leader.node) else { return };
        // An author that has written nothing yet says so too.
        let state = site.disk.origin(origin).unwrap_or_else(|| OriginState::empty(origin, Epoch::first(tree::TREE, origin)));
        let Some(head) = due_head(origin, &state, now, idle_ms) else { return };
        let signed = SignedHead::sign(head, id, node, tree::signing_key(id, node)).expect("an Ed25519 key always signs");
        self.propose(id, Asker::Maintenance, &Command::CommitHead { signed });
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
        let Some(parent) = register.as_ref().as_ref().and_then(|register| register.active_parent(id)) else { return };
        let acknowledged = site.disk.warehouse.read(|reading| reading.parent_cursors(parent)).expect("a memory does not fail");
        let held = |origin, oldest_kept| acknowledged.iter().any(|cursor| cursor.origin == origin && cursor.next > oldest_kept);
        let origins = site.disk.warehouse.origins().expect("a memory does not fail");
        if origins.iter().any(|(origin, state)| state.kept_bytes > keep_bytes && held(*origin, state.oldest_kept)) {
            self.propose(id, Asker::Maintenance, &Command::Trim { keep_bytes });
        }
    }

    /// After an entry: its news are told soon, and the disk is flushed now and then.
    pub(super) fn after_entry(&mut self, id: SiteId) {
        let ms = self.dice.below(15);
        self.after(ms, Event::News(id));
        if self.dice.chance(1, FLUSHED_ONE_IN) {
            self.site(id).disk.flush();
        }
    }

    pub(super) fn news(&mut self, id: SiteId) {
        let news = self.site(id).disk.take_news();
        let register_changed = news.iter().any(|news| matches!(news, Applied::Register | Applied::Everything));
        // Whoever leads: intakes may stand at any node.
        if register_changed {
            self.notify_intakes_of_register(id);
        }
        let Some(reign) = self.site(id).reign() else { return };
        if news.iter().any(|news| matches!(news, Applied::OwnBatch(_))) {
            // More batches may follow before the signer has its turn.
            let ms = self.dice.between(1, 150);
            self.after(ms, Event::SignHeads { site: id, reign });
        }
        let mut moved: Vec<OriginId> =
            news.iter().filter_map(|news| if let Applied::StreamMoved(origin) = news { Some(*origin) } else { None }).collect();
        if news.contains(&Applied::Everything) {
            moved.extend(self.site(id).origins());
        }
        moved.sort_unstable();
        moved.dedup();
        self.notify_moved(id, reign, moved);
        if register_changed {
            self.notify_register(id, reign);
        }
    }
}

/// The head that is due: when batches stand without one, or when the newest says nothing of the last while.
fn due_head(origin: OriginId, state: &OriginState, now: SiteTime, idle_ms: u64) -> Option<Head> {
    let is_idle = state.head_seq == Some(state.last());
    let age_ms = LinkTime(u64::try_from(now.0).unwrap_or(0)).ms_since(LinkTime(u64::try_from(state.watermark.0).unwrap_or(0)));
    if is_idle && age_ms < idle_ms {
        return None;
    }
    // Batches may be on their way while this is signed: only an idle stream is said to be complete up to now.
    let site_time = if is_idle { now.max(state.batch_time) } else { state.batch_time }.max(state.watermark);
    Some(Head {
        origin,
        epoch: state.epoch,
        seq: state.last(),
        chain: state.chain,
        digest: state.sum.digest(),
        rows: state.rows,
        site_time,
    })
}
