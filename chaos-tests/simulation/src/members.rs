//! Who belongs to a site, as its nodes know it, and the nodes that were removed from it.

use std::collections::BTreeSet;

use kho_node::consensus::{Admission, KnownMembers, Subject, admit};
use kho_storage::ids::NodeId;

use crate::{disk::Image, tree};

/// A site's members.
pub struct Members {
    nodes: BTreeSet<NodeId>,
    retired_up_to: NodeId,
    /// Where the membership stands in the site's log.
    position: u64,
    /// Nodes that were removed, with what stood on their disks.
    pub removed: Vec<RemovedNode>,
}

/// A node that was removed and still has its keys and its disk.
#[derive(Clone)]
pub struct RemovedNode {
    pub node: NodeId,
    pub image: Option<Image>,
}

impl Default for Members {
    fn default() -> Self {
        Self { nodes: (1..=tree::NODES).map(NodeId).collect(), retired_up_to: NodeId(0), position: 0, removed: Vec::new() }
    }
}

impl Members {
    pub fn nodes(&self) -> &BTreeSet<NodeId> {
        &self.nodes
    }

    /// `node` is removed, and a fresh one takes its place. The fresh one's id; `None` when the tree has keys for no more.
    pub fn replace(&mut self, removed: RemovedNode, position: u64) -> Option<NodeId> {
        let fresh = self.nodes.last().map(|last| NodeId(last.0.max(self.retired_up_to.0) + 1)).filter(|id| id.0 <= tree::NODE_IDS)?;
        self.nodes.remove(&removed.node);
        self.nodes.insert(fresh);
        self.retired_up_to = self.retired_up_to.max(removed.node);
        self.position = position;
        self.removed.push(removed);
        Some(fresh)
    }

    /// Whether a member works on a request of `sender`: what a real node decides.
    pub fn admits(&self, subject: Subject, sender: NodeId) -> bool {
        let confirmed = BTreeSet::new();
        let known = KnownMembers {
            members: &self.nodes,
            retired_up_to: self.retired_up_to,
            position: self.position,
            invitation: None,
            confirmed: &confirmed,
        };
        admit(subject, sender, &known) == Admission::Admitted
    }
}
