//! A site whose nodes moved finds itself again: addresses stand in the membership, and to change that needs a majority that can reach
//! each other. So nodes know each other by certificate and disk, and look for each other at every address that they know
//! ([`super::peers::address_book`]).
//!
//! ```text
//!  khod.toml `addresses` ──► this node dials its peers there, and announces its own ──► they dial it there
//!                                                              └─► the leader, once it reached the node so, commits the new record
//! ```
//! Every node announces itself to every other all the time, also when it has nothing new to say: by the replies it knows which members
//! answer ([`super::peers::reachability`]).
//!
//! Invariant: a record changes only to what its own node announced, under its certificate and from its disk
//! (test `a_record_follows_what_its_node_announced_once_the_node_is_reached`).

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use kho_storage::{codec, ids::NodeId};
use openraft::ChangeMembers;
use tokio::time::{sleep, timeout};

use super::{
    Consensus, MembersError,
    members::NotDone,
    peers::{PeerTarget, Peers, wire::Subject},
    types::{NodeAddress, Raft, SiteNode},
};

/// Between two rounds of announcements.
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);
/// A member that does not reply within this has not answered.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(2);
/// A change of the record is not waited for any longer; it may still be committed.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Announces to every other member where this node is, and notes who answers. Runs until the node stops.
pub(super) async fn announce_addresses(raft: Raft, peers: Arc<Peers>) {
    let own = peers.local().node;
    loop {
        sleep(ANNOUNCE_INTERVAL).await;
        let membership = Arc::clone(&raft.metrics().borrow().membership_config);
        let is_member = |node: NodeId| membership.nodes().any(|(id, _)| *id == node.0);
        peers.addresses().retain(is_member);
        // Nobody owes an answer to a node that was removed.
        let others = membership.nodes().filter(|(id, _)| **id != own.0 && is_member(own));
        let others: Vec<PeerTarget> = others.map(|(id, record)| PeerTarget::of_member(*id, record)).collect();
        peers.reachability().watch(others.iter().map(|other| other.node), Instant::now());
        let Ok(body) = codec::encode(&peers.addresses().configured(own)) else { continue };
        join_all(others.iter().map(|other| announce(&peers, other, &body))).await;
    }
}

async fn announce(peers: &Peers, other: &PeerTarget, body: &[u8]) {
    let why = match timeout(ANNOUNCE_TIMEOUT, peers.call(other, Subject::Announce, body)).await {
        Ok(Ok(_)) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no reply within {ANNOUNCE_TIMEOUT:?}"),
    };
    peers.reachability().note_failure(other.node, why);
}

impl Consensus {
    /// On the leader: has the membership say where nodes are by what they announced. Returns the records that were changed.
    ///
    /// # Errors
    /// [`MembersError`]; to be tried again.
    pub async fn record_moves(&self) -> Result<Vec<(NodeId, NodeAddress)>, MembersError> {
        if !self.leadership.borrow().ready || self.moved().is_empty() {
            return Ok(vec![]);
        }
        let Ok(_one) = self.changing_members.try_lock() else { return Ok(vec![]) };
        // Again, now that nobody else changes the members.
        let moved = self.moved();
        let done = moved.iter().map(|(id, record)| {
            let address = NodeAddress { quic: record.quic_address.clone(), https: record.https_address.clone() };
            (NodeId(*id), address)
        });
        let done = done.collect();
        match timeout(COMMIT_TIMEOUT, self.commit(ChangeMembers::SetNodes(moved))).await {
            Ok(Ok(())) => Ok(done),
            Ok(Err(NotDone::NotLeader)) | Err(_) => Ok(vec![]),
            Ok(Err(NotDone::Failed(error))) => Err(error),
        }
    }

    fn moved(&self) -> BTreeMap<u64, SiteNode> {
        let (own, book) = (self.node(), self.peers.addresses());
        let announced = |node| if node == own { book.configured(own).cloned() } else { book.announced(node) };
        let reached_at = |node| if node == own { book.configured(own).map(|at| at.quic.clone()) } else { self.peers.reached_at(node) };
        let membership = self.membership();
        moved(membership.nodes(), announced, reached_at)
    }
}

/// The records that differ from what their nodes announced, as they should be. Only of nodes that are reached where they say.
fn moved<'a>(
    nodes: impl Iterator<Item = (&'a u64, &'a SiteNode)>,
    announced: impl Fn(NodeId) -> Option<NodeAddress>,
    reached_at: impl Fn(NodeId) -> Option<String>,
) -> BTreeMap<u64, SiteNode> {
    let changed = nodes.filter_map(|(id, record)| {
        let NodeAddress { quic, https } = announced(NodeId(*id))?;
        let differs = (&quic, &https) != (&record.quic_address, &record.https_address);
        let is_reached_there = differs && reached_at(NodeId(*id)).as_ref() == Some(&quic);
        is_reached_there.then(|| (*id, SiteNode { quic_address: quic, https_address: https, ..record.clone() }))
    });
    changed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::types::DiskId;

    fn at(quic: &str) -> NodeAddress {
        NodeAddress { quic: quic.into(), https: format!("{quic}0") }
    }

    fn record(quic: &str) -> SiteNode {
        SiteNode { quic_address: quic.into(), https_address: format!("{quic}0"), disk: DiskId(22), retired_up_to: NodeId(1) }
    }

    #[test]
    fn a_record_follows_what_its_node_announced_once_the_node_is_reached() {
        let nodes = BTreeMap::from([(2, record("old:1"))]);
        let becomes = |announced: Option<&str>, reached: Option<&str>| {
            moved(nodes.iter(), |_| announced.map(at), |_| reached.map(String::from)).remove(&2)
        };
        assert_eq!(becomes(None, Some("old:1")), None);
        assert_eq!(becomes(Some("old:1"), Some("old:1")), None, "it says what stands there");
        assert_eq!(becomes(Some("new:1"), None), None, "nobody has reached it yet");
        assert_eq!(becomes(Some("new:1"), Some("old:1")), None, "it is still where it was");
        assert_eq!(becomes(Some("new:1"), Some("new:1")), Some(record("new:1")), "disk and removed ids stay");
        assert_eq!(becomes(Some("new:1"), Some("10.0.0.9:1")), None, "an operator knows another place; nobody has tried this one");
    }

    #[test]
    fn a_record_whose_https_address_alone_changed_follows_too() {
        let nodes = BTreeMap::from([(2, record("old:1"))]);
        let announced = |_| Some(NodeAddress { quic: "old:1".into(), https: "new:2".into() });
        let changed = moved(nodes.iter(), announced, |_| Some("old:1".into()));
        assert_eq!(changed, BTreeMap::from([(2, SiteNode { https_address: "new:2".into(), ..record("old:1") })]));
    }
}
