//! What a register says takes effect here as soon as it is known: certificates that it revokes, and whether this node may lead.
//!
//! Invariant: a voter whose signing key is not in the newest register that this node knows does not lead
//! (test `only_a_node_whose_key_is_in_the_register_and_not_revoked_may_lead`).

use std::sync::Arc;

use kho_storage::{
    ids::{NodeId, SiteId},
    register::VerifiedRegister,
    signature::PublicKey,
};

use crate::{api::AlarmKind, node::Node};

/// Runs until the node stops.
pub async fn watch_register(node: Arc<Node>) {
    let mut changes = node.register_changes.clone();
    loop {
        take_effect(&node);
        tokio::select! {
            changed = changes.changed() => if changed.is_err() {
                return;
            },
            () = node.stopping.cancelled() => return,
        }
    }
}

/// Has the newest register take effect.
pub fn take_effect(node: &Node) {
    let adopted = node.warehouse.register();
    if let Some(register) = &adopted {
        node.endpoint.revocations().replace(register);
        let newest = register.version();
        node.alarms.end(|kind| match kind {
            AlarmKind::RegisterDoubled { version, .. } | AlarmKind::ChildRegisterDiffers { version, .. } => *version < newest,
            _ => false,
        });
    }
    let offered = node.offered_register.lock().clone();
    let newest = adopted.into_iter().chain(offered).max_by_key(|register| register.version());
    node.consensus.permit_leading(may_lead(newest.as_deref(), node.site(), node.config.node, &node.signing_key));
}

/// A register that an operator gave to this node and that its site has still to adopt. It decides already whether this node may lead:
/// otherwise a site none of whose nodes may lead could never adopt the register that says they may.
pub fn offer(node: &Node, register: Arc<VerifiedRegister>) {
    {
        let mut offered = node.offered_register.lock();
        if offered.as_ref().is_none_or(|held| held.version() < register.version()) {
            *offered = Some(register);
        }
    }
    take_effect(node);
}

/// Whether `node` of `site`, which signs with `key`, may lead by `register`. Without any register it may: somebody has to propose the
/// first.
fn may_lead(register: Option<&VerifiedRegister>, site: SiteId, node: NodeId, key: &PublicKey) -> bool {
    let Some(register) = register else { return true };
    let entry = register.site(site).and_then(|entry| entry.nodes.iter().find(|entry| entry.node == node));
    entry.is_some_and(|entry| entry.signing_key == *key && entry.revoked.is_empty())
}

#[cfg(test)]
mod tests {
    use kho_storage::{
        encryption::DecryptionKey,
        ids::{OriginId, StreamSeq, Tier},
        register::{NodeEntry, Register, Revocation, SignedRegister, SiteEntry},
        signature::{SignatureAlgorithm, SigningKey},
    };

    use super::*;

    #[test]
    fn only_a_node_whose_key_is_in_the_register_and_not_revoked_may_lead() {
        let key = || SigningKey::generate(SignatureAlgorithm::default()).expect("system randomness");
        let (centre, own, other) = (key(), key().public_key(), key().public_key());
        let (site, reader) = (SiteId(1), DecryptionKey::generate().expect("system randomness"));
        let may = |nodes: Vec<NodeEntry>| {
            let entry =
                SiteEntry { site, name: "one".into(), tier: Tier::Central, parents: vec![], areas: vec![], addresses: vec![], nodes };
            let register = Register {
                tree: "vn".into(),
                version: 1,
                requires: vec![],
                roots: vec![],
                sites: vec![entry],
                origins: vec![],
                revoked_identities: vec![],
            };
            let verified = SignedRegister::issue(&register, &centre).expect("whole").verify(&centre.public_key(), "vn").expect("good");
            may_lead(Some(&verified), site, NodeId(2), &own)
        };
        let entry = |node: u64, key: &PublicKey| NodeEntry {
            node: NodeId(node),
            signing_key: key.clone(),
            encryption_key: reader.public_key(),
            revoked: vec![],
        };
        assert!(may_lead(None, site, NodeId(2), &own), "the first register has to be proposed");
        assert!(may(vec![entry(1, &other), entry(2, &own)]));
        assert!(!may(vec![entry(1, &other)]), "it is not there");
        assert!(!may(vec![entry(2, &other)]), "another key");
        assert!(!may(vec![entry(1, &own)]), "another node's");
        let last_good = Revocation { origin: OriginId(1), last_good_epoch: 1, last_good_seq: StreamSeq(9) };
        assert!(!may(vec![NodeEntry { revoked: vec![last_good], ..entry(2, &own) }]), "revoked");
    }
}
