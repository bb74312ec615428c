//! A small tree: district 3 enters records, commune 6 below it too; province 2 is its parent, region 4 the stand-in.

use std::{collections::BTreeMap, sync::Arc};

use kho_storage::{
    encryption::DecryptionKey,
    ids::{NodeId, OriginId, SiteId, Tier},
    register::{NodeEntry, OriginEntry, Register, RegisterChain, SignedRegister, SiteEntry, VerifiedRegister},
    signature::{SignatureAlgorithm, SigningKey},
};

pub(crate) const PROVINCE: SiteId = SiteId(2);
pub(crate) const DISTRICT: SiteId = SiteId(3);
pub(crate) const REGION: SiteId = SiteId(4);
pub(crate) const COMMUNE: SiteId = SiteId(6);
pub(crate) const NODE: NodeId = NodeId(1);
/// The district's own origin, and the commune's, which the district forwards.
pub(crate) const OWN: OriginId = OriginId(3);
pub(crate) const ADOPTED: OriginId = OriginId(6);

pub(crate) struct Tree {
    pub centre: SigningKey,
    pub keys: BTreeMap<SiteId, Arc<SigningKey>>,
    /// What decrypts what is written for a site's node.
    pub readers: BTreeMap<SiteId, Arc<DecryptionKey>>,
    pub register: Register,
}

impl Tree {
    pub fn new() -> Self {
        let keys: BTreeMap<SiteId, Arc<SigningKey>> = [1, 2, 3, 4, 6].into_iter().map(|site| (SiteId(site), Arc::new(key()))).collect();
        let reader = |site: &SiteId| (*site, Arc::new(DecryptionKey::generate().expect("system randomness")));
        let readers: BTreeMap<SiteId, Arc<DecryptionKey>> = keys.keys().map(reader).collect();
        let site = |site: SiteId, tier, parents: &[SiteId]| SiteEntry {
            site,
            name: format!("site {site}"),
            tier,
            parents: parents.to_vec(),
            areas: vec![],
            addresses: vec![format!("site{site}:1")],
            nodes: vec![NodeEntry {
                node: NODE,
                signing_key: keys[&site].public_key(),
                encryption_key: readers[&site].public_key(),
                revoked: vec![],
            }],
        };
        let register = Register {
            tree: "test".into(),
            version: 1,
            requires: vec![],
            roots: vec![],
            sites: vec![
                site(SiteId(1), Tier::Central, &[]),
                site(REGION, Tier::Region, &[SiteId(1)]),
                site(PROVINCE, Tier::Province, &[REGION]),
                site(DISTRICT, Tier::District, &[PROVINCE, REGION]),
                site(COMMUNE, Tier::Commune, &[DISTRICT]),
            ],
            origins: vec![OriginEntry { origin: OWN, author: DISTRICT }, OriginEntry { origin: ADOPTED, author: COMMUNE }],
            revoked_identities: vec![],
        };
        Self { centre: key(), keys, readers, register }
    }

    pub fn signed(&self) -> SignedRegister {
        SignedRegister::issue(&self.register, &self.centre).expect("the test's register is whole")
    }

    pub fn chain(&self) -> Arc<RegisterChain> {
        Arc::new(RegisterChain::single(self.register.version, self.signed()))
    }

    pub fn verified(&self) -> Arc<VerifiedRegister> {
        Arc::new(self.signed().verify(&self.centre.public_key(), "test").expect("just issued"))
    }
}

fn key() -> SigningKey {
    SigningKey::generate(SignatureAlgorithm::Ed25519).expect("system randomness")
}
