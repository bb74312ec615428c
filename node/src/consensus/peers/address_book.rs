//! Where the other nodes of the site are. A certificate and a disk say who a node is; an address says only where to look for it.
//!
//! | what names an address | tried |
//! |---|---|
//! | this node's own configuration, `addresses` in `khod.toml` | first |
//! | what the peer announced since this node started | then |
//! | the membership | last |
//!
//! Invariant: an address that leads nowhere costs one attempt to dial, and the next attempt takes the next one
//! (test `every_known_address_of_a_peer_is_tried_in_turn`).

use std::collections::BTreeMap;

use kho_storage::ids::NodeId;
use parking_lot::Mutex;

use super::newcomers::NAMED_MAX;
use crate::consensus::{error::PeerRefusal, types::NodeAddress};

/// Longest address, in bytes: the longest name of a host, and a port.
const ADDRESS_BYTES_MAX: usize = 262;

/// The addresses that this node knows beside the membership.
#[derive(Debug, Default)]
pub struct AddressBook {
    configured: BTreeMap<NodeId, NodeAddress>,
    announced: Mutex<BTreeMap<NodeId, NodeAddress>>,
}

impl AddressBook {
    /// `configured` are the addresses that an operator gave to this node, its own among them if it has moved.
    pub fn new(configured: BTreeMap<NodeId, NodeAddress>) -> Self {
        Self { configured, announced: Mutex::default() }
    }

    /// What an operator says of a node.
    pub fn configured(&self, node: NodeId) -> Option<&NodeAddress> {
        self.configured.get(&node)
    }

    /// What a peer said of itself last.
    pub fn announced(&self, node: NodeId) -> Option<NodeAddress> {
        self.announced.lock().get(&node).cloned()
    }

    /// A member says where it is now, or that the site's record of it is right.
    ///
    /// # Errors
    /// [`PeerRefusal::Malformed`] when an address is too long, or too many members have announced one.
    pub fn note(&self, node: NodeId, address: Option<NodeAddress>) -> Result<(), PeerRefusal> {
        let mut announced = self.announced.lock();
        let Some(address) = address else {
            announced.remove(&node);
            return Ok(());
        };
        if address.quic.len().max(address.https.len()) > ADDRESS_BYTES_MAX {
            return Err(PeerRefusal::Malformed(format!("an address has more than {ADDRESS_BYTES_MAX} bytes")));
        }
        if announced.len() >= NAMED_MAX && !announced.contains_key(&node) {
            return Err(PeerRefusal::Malformed(format!("{NAMED_MAX} members have announced their addresses already")));
        }
        announced.insert(node, address);
        Ok(())
    }

    /// Forgets what nodes announced that are not members any more.
    pub fn retain(&self, is_member: impl Fn(NodeId) -> bool) {
        self.announced.lock().retain(|node, _| is_member(*node));
    }

    /// Every QUIC address of a member, each once, in the order in which they are tried. `recorded` is that of the membership.
    pub fn candidates(&self, node: NodeId, recorded: &str) -> Vec<String> {
        let configured = self.configured.get(&node).map(|address| address.quic.clone());
        let announced = self.announced(node).map(|address| address.quic);
        let mut candidates: Vec<String> = Vec::new();
        for address in configured.into_iter().chain(announced).chain([recorded.to_owned()]) {
            if !candidates.contains(&address) {
                candidates.push(address);
            }
        }
        candidates
    }
}

/// The address for the next attempt, after so many that failed one after the other.
pub fn candidate(candidates: &[String], failures: u32) -> Option<&String> {
    let turn = usize::try_from(failures).ok()?.checked_rem(candidates.len())?;
    candidates.get(turn)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(quic: &str) -> NodeAddress {
        NodeAddress { quic: quic.into(), https: "10.0.0.1:7443".into() }
    }

    #[test]
    fn the_configuration_goes_before_what_a_peer_announced_and_that_before_the_membership() {
        let book = AddressBook::new(BTreeMap::from([(NodeId(2), at("new:1"))]));
        assert_eq!(book.candidates(NodeId(2), "old:1"), ["new:1", "old:1"]);
        assert_eq!(book.candidates(NodeId(3), "old:2"), ["old:2"]);
        for node in [2, 3] {
            book.note(NodeId(node), Some(at("said:1"))).expect("short");
        }
        assert_eq!(book.candidates(NodeId(2), "old:1"), ["new:1", "said:1", "old:1"]);
        assert_eq!(book.candidates(NodeId(3), "old:2"), ["said:1", "old:2"]);
        assert_eq!(book.candidates(NodeId(3), "said:1"), ["said:1"], "the membership has followed");
        book.note(NodeId(3), None).expect("nothing to be refused");
        assert_eq!(book.candidates(NodeId(3), "old:2"), ["old:2"], "it says that the record is right");
    }

    #[test]
    fn every_known_address_of_a_peer_is_tried_in_turn() {
        let candidates = ["new:1", "said:1", "old:1"].map(String::from);
        let tried: Vec<&str> = (0..5).filter_map(|failures| candidate(&candidates, failures)).map(String::as_str).collect();
        assert_eq!(tried, ["new:1", "said:1", "old:1", "new:1", "said:1"]);
        assert_eq!(candidate(&[], 0), None);
    }

    #[test]
    fn what_members_announce_is_bounded_and_goes_with_them() {
        let book = AddressBook::default();
        assert!(book.note(NodeId(1), Some(at(&"x".repeat(ADDRESS_BYTES_MAX + 1)))).is_err());
        for node in 0..NAMED_MAX as u64 {
            book.note(NodeId(node), Some(at("said:1"))).expect("room");
        }
        assert!(book.note(NodeId(99), Some(at("said:1"))).is_err(), "too many");
        assert!(book.note(NodeId(0), Some(at("said:2"))).is_ok(), "a member that moved again");
        book.retain(|node| node == NodeId(0));
        assert_eq!((book.announced(NodeId(0)), book.announced(NodeId(1))), (Some(at("said:2")), None));
    }
}
