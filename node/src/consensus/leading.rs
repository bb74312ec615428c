//! Whether this node may lead its site, and how it stops when it may not.
//!
//! A leader signs heads. One whose key is not in the register signs none that anybody believes, so it must not lead. openraft can't be
//! told to step down. So such a node does not stand for election; and if it leads already, it takes no proposals and, once another
//! voter holds its whole log, sends nothing more: the others elect one of them, as when a leader's disk stalls.

use std::sync::atomic::{AtomicBool, Ordering};

use openraft::ServerState;

use super::types::RaftMetrics;

/// The permission to lead, given and taken from outside.
#[derive(Debug)]
pub struct LeadingPermission {
    may_lead: AtomicBool,
    hands_over: AtomicBool,
    /// A majority computed something else than this node; for good.
    diverged: AtomicBool,
    /// This node sends its followers nothing more; for good.
    silent: AtomicBool,
}

impl Default for LeadingPermission {
    /// A node may lead until somebody says otherwise.
    fn default() -> Self {
        Self {
            may_lead: AtomicBool::new(true),
            hands_over: AtomicBool::new(false),
            diverged: AtomicBool::new(false),
            silent: AtomicBool::new(false),
        }
    }
}

impl LeadingPermission {
    /// Gives or takes the permission. Whether that changed anything.
    pub fn set(&self, may_lead: bool) -> bool {
        self.may_lead.swap(may_lead, Ordering::Relaxed) != may_lead
    }

    pub fn may_lead(&self) -> bool {
        self.is_permitted() && !self.has_diverged()
    }

    /// Whether nobody took the permission; a node that diverged does not lead all the same.
    pub fn is_permitted(&self) -> bool {
        self.may_lead.load(Ordering::Relaxed)
    }

    /// Takes the right to lead for good: a majority computed something else than this node. Whether that is new.
    pub fn set_diverged(&self) -> bool {
        !self.diverged.swap(true, Ordering::Relaxed)
    }

    pub fn has_diverged(&self) -> bool {
        self.diverged.load(Ordering::Relaxed)
    }

    /// Has this node send its followers nothing more, so that they elect another leader.
    pub fn keep_silent(&self) {
        self.silent.store(true, Ordering::Relaxed);
    }

    /// Whether this node sends its followers nothing more, so that they elect another leader.
    pub fn hands_over(&self) -> bool {
        self.hands_over.load(Ordering::Relaxed) || self.silent.load(Ordering::Relaxed)
    }

    /// Decides anew whether this node keeps silent.
    pub fn decide(&self, metrics: &RaftMetrics) {
        // A leader that diverged has still to tell so in its log.
        self.hands_over.store(!self.is_permitted() && is_replaceable(metrics), Ordering::Relaxed);
    }
}

/// Whether this node leads and another voter holds everything that it does, and so can be elected.
fn is_replaceable(metrics: &RaftMetrics) -> bool {
    let voters = metrics.membership_config.membership().get_joint_config();
    let holds_all = |voter: &u64| {
        let matched = metrics.replication.as_ref().and_then(|all| all.get(voter).copied().flatten());
        *voter != metrics.id && matched.map(|id| id.index) == metrics.last_log_index
    };
    metrics.state == ServerState::Leader && voters.iter().flatten().any(holds_all)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use super::*;
    use crate::consensus::types::{LogId, Membership, SiteNode, StoredMembership};

    #[test]
    fn a_leader_that_may_not_lead_keeps_silent_only_when_another_voter_holds_its_whole_log() {
        let mut metrics = RaftMetrics::new_initial(1);
        let nodes: BTreeMap<u64, SiteNode> = [1, 2, 3].map(|id| (id, SiteNode::default())).into();
        metrics.membership_config = Arc::new(StoredMembership::new(None, Membership::new(vec![[1, 2].into()], nodes)));
        metrics.state = ServerState::Leader;
        metrics.last_log_index = Some(9);
        let at = |index| Some(LogId::new(openraft::CommittedLeaderId::new(1, 1), index));
        let permission = LeadingPermission::default();
        let silent = |permission: &LeadingPermission, voter, learner| {
            let replication = BTreeMap::from([(1, at(9)), (2, at(voter)), (3, at(learner))]);
            permission.decide(&RaftMetrics { replication: Some(replication), ..metrics.clone() });
            permission.hands_over()
        };
        assert!(!silent(&permission, 9, 9), "it may lead");
        assert!(permission.set(false) && !permission.set(false));
        assert!(silent(&permission, 9, 9));
        assert!(!silent(&permission, 8, 9), "only a learner holds all, and nobody could be elected");
        permission.set(true);
        assert!(!silent(&permission, 9, 9));
    }

    #[test]
    fn a_leader_that_diverged_leads_no_more_and_keeps_silent_once_it_has_told_so() {
        let permission = LeadingPermission::default();
        assert!(permission.set_diverged() && !permission.set_diverged(), "for good");
        assert!(!permission.may_lead() && permission.is_permitted());
        permission.set(true);
        assert!(!permission.may_lead(), "no register gives it back");
        assert!(!permission.hands_over(), "it has still to tell its followers");
        permission.keep_silent();
        assert!(permission.hands_over());
    }
}
