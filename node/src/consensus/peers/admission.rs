//! Who may ask for what inside a site. Pure: the caller passes in what this node knows.
//!
//! A certificate proves that its bearer is node N of the site, not that N takes part. That stands in the membership alone:
//!
//! | who asks | propose, read index, change of members, confirm, clock, announce, compare | append, vote, pre-vote, snapshot | join | hello |
//! |---|---|---|---|---|
//! | a member | yes | yes | yes | yes |
//! | a node that was removed | no | no | no | yes |
//! | a node that this node never heard of | no | when members confirm it | no | yes |
//! | any node, asking one without a membership | no | when it was named in the greeting, or there was none | as before | yes |
//!
//! The membership is the newest in this node's log, committed or not, by which Raft itself goes. A node that was away may not know a
//! member that was added meanwhile, so it asks those that it does know ([`super::newcomers`]).
//!
//! Invariant: what a node that is not a member sends changes nothing at a node that knows so
//! (tests `only_members_propose_read_and_change_members`, `only_expected_nodes_append_vote_and_send_snapshots`,
//! `only_a_member_names_a_founding_to_a_node_that_has_a_membership`).

use std::collections::BTreeSet;

use kho_storage::{
    ids::NodeId,
    planted::{Bug, planted},
};

use super::wire::Subject;
use crate::consensus::error::PeerRefusal;

/// What a node knows of who belongs to its site.
#[derive(Debug, Clone, Copy)]
pub struct KnownMembers<'a> {
    /// Voters and learners of the newest membership in its log, of both sets while it changes. Empty: it has none yet.
    pub members: &'a BTreeSet<NodeId>,
    /// Every id up to this one that is not a member was one once.
    pub retired_up_to: NodeId,
    /// Where that membership stands in the log.
    pub position: u64,
    /// The members that the greeting of a fresh node named, if it was greeted since its start.
    pub invitation: Option<&'a BTreeSet<NodeId>>,
    /// Nodes beyond the membership that members, or an operator, confirmed.
    pub confirmed: &'a BTreeSet<NodeId>,
}

/// What becomes of a request before its body is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    Admitted,
    /// Refused, and the known members are asked whether the sender is one.
    Unconfirmed,
    Refused(PeerRefusal),
}

/// Whether `sender`, by its certificate a node of this site, may ask for `subject`.
pub fn admit(subject: Subject, sender: NodeId, known: &KnownMembers<'_>) -> Admission {
    // What only members ask for, and what a node is asked for that has no membership yet. A clock is asked for by nodes that know their
    // site. Who has a membership belongs to a founding: only a member, which repeats itself, has a reason to name it one.
    let (of_members, of_fresh) = match subject {
        Subject::Hello => return Admission::Admitted,
        Subject::Propose
        | Subject::ReadIndex
        | Subject::ChangeMembers
        | Subject::Confirm
        | Subject::Clock
        | Subject::Announce
        | Subject::Compare => (true, false),
        Subject::Join => (true, true),
        Subject::AppendEntries | Subject::Vote | Subject::PreVoteRequest | Subject::Snapshot => (false, true),
    };
    if known.members.is_empty() {
        return match known.invitation {
            _ if !of_fresh => Admission::Refused(PeerRefusal::NotLeader(None)),
            Some(named) if !named.contains(&sender) => Admission::Refused(PeerRefusal::NotInvited(sender)),
            Some(_) | None => Admission::Admitted,
        };
    }
    if known.members.contains(&sender) || planted(Bug::CertificateTakenForMembership) {
        return Admission::Admitted;
    }
    if of_members || sender <= known.retired_up_to {
        return Admission::Refused(PeerRefusal::NotAMember { node: sender, position: known.position });
    }
    if known.confirmed.contains(&sender) { Admission::Admitted } else { Admission::Unconfirmed }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_MEMBERS: [Subject; 7] = [
        Subject::Propose,
        Subject::ReadIndex,
        Subject::ChangeMembers,
        Subject::Confirm,
        Subject::Clock,
        Subject::Announce,
        Subject::Compare,
    ];
    const OF_RAFT: [Subject; 4] = [Subject::AppendEntries, Subject::Vote, Subject::PreVoteRequest, Subject::Snapshot];

    /// At a node that knows members 1, 2, 5 and 6; node 4 and those before it that are no members were removed.
    fn admitted(subject: Subject, sender: u64, confirmed: &[u64]) -> Admission {
        let ids = |ids: &[u64]| ids.iter().copied().map(NodeId).collect::<BTreeSet<_>>();
        let (members, confirmed) = (ids(&[1, 2, 5, 6]), ids(confirmed));
        let known = KnownMembers { members: &members, retired_up_to: NodeId(4), position: 90, invitation: None, confirmed: &confirmed };
        admit(subject, NodeId(sender), &known)
    }

    #[test]
    fn only_members_propose_read_and_change_members() {
        for subject in OF_MEMBERS {
            for member in [1, 2, 5, 6] {
                assert_eq!(admitted(subject, member, &[]), Admission::Admitted, "{subject:?} of {member}");
            }
            for other in [3, 4, 7] {
                let refused = Admission::Refused(PeerRefusal::NotAMember { node: NodeId(other), position: 90 });
                assert_eq!(admitted(subject, other, &[7]), refused, "{subject:?} of {other}");
            }
        }
    }

    #[test]
    fn only_expected_nodes_append_vote_and_send_snapshots() {
        for subject in OF_RAFT {
            for member in [1, 2, 5, 6] {
                assert_eq!(admitted(subject, member, &[]), Admission::Admitted, "{subject:?} of {member}");
            }
            for removed in [3, 4] {
                let refused = Admission::Refused(PeerRefusal::NotAMember { node: NodeId(removed), position: 90 });
                assert_eq!(admitted(subject, removed, &[removed]), refused, "{subject:?} of {removed}");
            }
            assert_eq!(admitted(subject, 7, &[]), Admission::Unconfirmed, "{subject:?}");
            assert_eq!(admitted(subject, 7, &[7]), Admission::Admitted, "{subject:?}: added while this node was away");
        }
    }

    #[test]
    fn only_a_member_names_a_founding_to_a_node_that_has_a_membership() {
        assert_eq!(admitted(Subject::Join, 2, &[]), Admission::Admitted, "a member repeats itself");
        for other in [3, 4, 7] {
            let refused = Admission::Refused(PeerRefusal::NotAMember { node: NodeId(other), position: 90 });
            assert_eq!(admitted(Subject::Join, other, &[7]), refused, "of {other}");
        }
    }

    #[test]
    fn a_fresh_node_takes_entries_and_its_founding_only_from_those_that_its_greeting_named() {
        let none = BTreeSet::new();
        let named = BTreeSet::from([NodeId(1), NodeId(2)]);
        let greeted = KnownMembers { members: &none, retired_up_to: NodeId(0), position: 0, invitation: Some(&named), confirmed: &none };
        let restarted = KnownMembers { invitation: None, ..greeted };
        for subject in OF_RAFT.into_iter().chain([Subject::Join]) {
            assert_eq!(admit(subject, NodeId(2), &greeted), Admission::Admitted, "{subject:?}");
            assert_eq!(admit(subject, NodeId(9), &greeted), Admission::Refused(PeerRefusal::NotInvited(NodeId(9))), "{subject:?}");
            assert_eq!(admit(subject, NodeId(9), &restarted), Admission::Admitted, "{subject:?}: nobody is known to it");
        }
        for subject in OF_MEMBERS {
            assert_eq!(admit(subject, NodeId(1), &greeted), Admission::Refused(PeerRefusal::NotLeader(None)), "{subject:?}");
        }
        assert_eq!(admit(Subject::Hello, NodeId(9), &greeted), Admission::Admitted, "anybody of the site may greet");
    }
}
