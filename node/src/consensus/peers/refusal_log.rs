//! What is logged of refused peers. A node that was removed and still runs asks about ten times a second; once a minute is enough.

use std::{
    collections::BTreeMap,
    mem::{Discriminant, discriminant},
    time::{Duration, Instant},
};

use kho_storage::ids::NodeId;
use parking_lot::Mutex;

use crate::consensus::error::PeerRefusal;

/// Between two lines about one node and one kind of refusal.
const PAUSE: Duration = Duration::from_secs(60);
/// Nodes that are remembered; beyond them the oldest lines are forgotten, and said again.
const NODES_MAX: usize = 64;

/// When each node's refusal was logged last, and which kind it was.
#[derive(Debug, Default)]
pub struct RefusalLog {
    logged: Mutex<BTreeMap<NodeId, (Instant, Discriminant<PeerRefusal>)>>,
}

impl RefusalLog {
    /// Whether a refusal of `node` is to be logged now: the first of its kind, or one a minute after the last.
    pub fn is_due(&self, node: NodeId, refusal: &PeerRefusal, now: Instant) -> bool {
        let mut logged = self.logged.lock();
        let kind = discriminant(refusal);
        if logged.get(&node).is_some_and(|(at, before)| *before == kind && now.saturating_duration_since(*at) < PAUSE) {
            return false;
        }
        if logged.len() >= NODES_MAX
            && let Some(oldest) = logged.iter().min_by_key(|(_, (at, _))| *at).map(|(node, _)| *node)
        {
            logged.remove(&oldest);
        }
        logged.insert(node, (now, kind));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refusal_of_a_node_is_logged_once_a_minute_and_another_kind_at_once() {
        let (log, start) = (RefusalLog::default(), Instant::now());
        let removed = |position| PeerRefusal::NotAMember { node: NodeId(3), position };
        let lines = (0..1_200u64).filter(|tenth| log.is_due(NodeId(3), &removed(*tenth), start + Duration::from_millis(tenth * 100)));
        assert_eq!(lines.count(), 2, "in two minutes");
        let now = start + Duration::from_secs(121);
        assert!(log.is_due(NodeId(3), &PeerRefusal::CertificateMismatch, now) && log.is_due(NodeId(4), &removed(1), now));
        for node in 0..1_000 {
            log.is_due(NodeId(node), &removed(1), now);
        }
        assert!(log.logged.lock().len() <= NODES_MAX);
    }
}
