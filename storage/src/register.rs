//! The register: the tree's sites, tiers, origins, parents and pinned keys, signed by the centre, replicated downward.
//!
//! It is a text that people read ([`SignedRegister`]). What a build does not know in it is ignored and kept: the text is passed on byte by
//! byte. What must be understood stands under `requires`.
//!
//! A certificate alone proves nothing: what a site may carry, who may sign for an origin and with which key stands here.
//! Invariant: a register is only replaced by one of a higher version, signed by whom the one that stands names
//! (tests `a_register_of_another_key_or_an_older_version_is_refused`, `a_register_needs_the_roots_that_the_one_before_it_named`).

mod chain;
mod revoked;
mod roots;
mod signed;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    encryption::EncryptionKey,
    ids::{Epoch, Hash32, NodeId, OriginId, SiteId, SiteTime, StreamSeq, Tier},
    signature::PublicKey,
};

pub use chain::RegisterChain;
pub use revoked::RevokedIdentity;
pub use roots::{ROOT_KEYS_MAX, ROOT_SETS_MAX, RootSet, Roots};
pub(crate) use signed::check_level;
pub use signed::{FEATURES, RegisterError, RootSignature, SIGNATURES_MAX, SignedRegister, unknown_fields};

/// The longest text of a register: 11,000 sites of three nodes fit twice.
pub const REGISTER_BYTES_MAX: usize = 16 << 20;

/// The tree as the centre says it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// Name of the tree; certificates of another tree are refused.
    pub tree: String,
    /// Grows by one with every issue.
    pub version: u64,
    /// What a node must know by name to understand the register; one that does not know all of it refuses the register.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
    /// Who signs the registers after this one. None are named: whoever did before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roots: Vec<RootSet>,
    #[serde(default)]
    pub sites: Vec<SiteEntry>,
    #[serde(default)]
    pub origins: Vec<OriginEntry>,
    /// Certificates that count no more, of nodes, operators and clients.
    #[serde(default)]
    pub revoked_identities: Vec<RevokedIdentity>,
}

/// A site of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteEntry {
    pub site: SiteId,
    pub name: String,
    pub tier: Tier,
    /// The active parent, then the stand-ins in order. Empty at the root.
    #[serde(default)]
    pub parents: Vec<SiteId>,
    /// Units whose records the site may author.
    #[serde(default)]
    pub areas: Vec<AreaScope>,
    /// QUIC addresses (`host:port`) at which the site's nodes answer.
    #[serde(default)]
    pub addresses: Vec<String>,
    #[serde(default)]
    pub nodes: Vec<NodeEntry>,
}

/// A node, the key that signs heads for it, and the key by which something is written for it alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeEntry {
    pub node: NodeId,
    pub signing_key: PublicKey,
    /// Bundles for the node's site are encrypted to it.
    pub encryption_key: EncryptionKey,
    /// Set when the key is revoked: per origin the last batch it may still vouch for. It vouches for nothing of an origin that does
    /// not stand here, also of one that is added later.
    #[serde(default)]
    pub revoked: Vec<Revocation>,
}

/// What a revoked key signed up to here stays good; nothing after it is adopted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    pub origin: OriginId,
    pub last_good_epoch: u32,
    pub last_good_seq: StreamSeq,
}

/// An origin and the one site that may write its stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginEntry {
    pub origin: OriginId,
    pub author: SiteId,
}

/// A unit of a catalogue, at any level: a province (2 digits), a district (3), a commune (5), or `*` for all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AreaScope {
    pub catalogue: String,
    pub code: String,
}

/// A register whose signatures were checked. Only [`SignedRegister::verify_under`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedRegister {
    register: Register,
    hash: Hash32,
    sites: BTreeMap<SiteId, usize>,
    origins: BTreeMap<OriginId, SiteId>,
}

impl Register {
    /// Checks that ids are unique, parents exist on strictly higher tiers, and authors exist.
    pub fn check(&self) -> Result<(), RegisterError> {
        let refused = |what: String| Err(RegisterError::NotWhole(what));
        revoked::check(self)?;
        roots::check(&self.roots).map_err(RegisterError::NotWhole)?;
        let mut sites = BTreeMap::new();
        for entry in &self.sites {
            if sites.insert(entry.site, entry.tier).is_some() {
                return refused(format!("site {} stands twice", entry.site));
            }
            let mut nodes = BTreeSet::new();
            if let Some(twice) = entry.nodes.iter().find(|node| !nodes.insert(node.node)) {
                return refused(format!("node {} of site {} stands twice", twice.node, entry.site));
            }
        }
        for entry in &self.sites {
            for parent in &entry.parents {
                match sites.get(parent) {
                    None => return refused(format!("site {} has the unknown parent {parent}", entry.site)),
                    Some(tier) if *tier <= entry.tier => {
                        return refused(format!("site {} ({}) has a parent of tier {tier}", entry.site, entry.tier));
                    }
                    Some(_) => {}
                }
            }
        }
        let mut origins = BTreeSet::new();
        for entry in &self.origins {
            if !origins.insert(entry.origin) {
                return refused(format!("origin {} stands twice", entry.origin));
            }
            if !sites.contains_key(&entry.author) {
                return refused(format!("origin {} has the unknown author {}", entry.origin, entry.author));
            }
        }
        Ok(())
    }
}

impl VerifiedRegister {
    fn new(register: Register, hash: Hash32) -> Self {
        let sites = register.sites.iter().enumerate().map(|(place, entry)| (entry.site, place)).collect();
        let origins = register.origins.iter().map(|entry| (entry.origin, entry.author)).collect();
        Self { register, hash, sites, origins }
    }

    /// The hash of the text: two registers of one version are the same only when it is.
    pub fn hash(&self) -> Hash32 {
        self.hash
    }

    /// Who signs the registers after this one; `None` when it leaves that as it was.
    pub fn named_roots(&self) -> Option<Roots> {
        (!self.register.roots.is_empty()).then(|| Roots(self.register.roots.clone()))
    }

    pub fn register(&self) -> &Register {
        &self.register
    }

    pub fn version(&self) -> u64 {
        self.register.version
    }

    pub fn tree(&self) -> &str {
        &self.register.tree
    }

    pub fn site(&self, site: SiteId) -> Option<&SiteEntry> {
        self.sites.get(&site).map(|place| &self.register.sites[*place])
    }

    /// Each revoked identity, and the time before which its certificates were issued.
    pub fn revoked_identities(&self) -> impl Iterator<Item = (&str, SiteTime)> {
        self.register.revoked_identities.iter().map(|entry| (entry.identity.as_str(), entry.issued_before))
    }

    /// The site that writes `origin`'s stream.
    pub fn author(&self, origin: OriginId) -> Option<SiteId> {
        self.origins.get(&origin).copied()
    }

    /// Origins that `site` writes, in order.
    pub fn origins_of(&self, site: SiteId) -> impl Iterator<Item = OriginId> + '_ {
        self.origins.iter().filter(move |(_, author)| **author == site).map(|(origin, _)| *origin)
    }

    /// The epoch in which `origin` stands as far as the register alone says.
    pub fn first_epoch(&self, origin: OriginId) -> Epoch {
        Epoch::first(&self.register.tree, origin)
    }

    /// The site that `child` sends its streams to as long as it answers; `None` for the root.
    pub fn active_parent(&self, child: SiteId) -> Option<SiteId> {
        self.site(child)?.parents.first().copied()
    }

    /// Whether `child` may send its streams to `parent`: as its active parent or as a stand-in.
    pub fn is_parent_of(&self, parent: SiteId, child: SiteId) -> bool {
        self.site(child).is_some_and(|entry| entry.parents.contains(&parent))
    }

    /// Whether the stream of `origin` may enter `site`: it is the origin's author, or stands above it by active parents or
    /// stand-ins. No other site holds an origin's rows.
    pub fn leads_through(&self, origin: OriginId, site: SiteId) -> bool {
        let mut ahead: Vec<SiteId> = self.author(origin).into_iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(at) = ahead.pop() {
            if at == site {
                return true;
            }
            if seen.insert(at) {
                ahead.extend(self.site(at).into_iter().flat_map(|entry| &entry.parents));
            }
        }
        false
    }

    /// `site` and every site below it, by active parents, in order.
    pub fn subtree(&self, site: SiteId) -> BTreeSet<SiteId> {
        let mut found = BTreeSet::from([site]);
        loop {
            let more: Vec<_> = self
                .register
                .sites
                .iter()
                .filter(|entry| !found.contains(&entry.site) && entry.parents.first().is_some_and(|parent| found.contains(parent)))
                .map(|entry| entry.site)
                .collect();
            if more.is_empty() {
                return found;
            }
            found.extend(more);
        }
    }

    /// The key under which `node` of `site` signs heads of `origin` at `(epoch, seq)`; `None` for unknown nodes and for what a
    /// revocation leaves out.
    pub fn head_key(&self, origin: OriginId, site: SiteId, node: NodeId, epoch: u32, seq: StreamSeq) -> Option<&PublicKey> {
        if self.author(origin) != Some(site) {
            return None;
        }
        let entry = self.site(site)?.nodes.iter().find(|entry| entry.node == node)?;
        let is_good_by = |r: &Revocation| r.origin == origin && (epoch, seq) <= (r.last_good_epoch, r.last_good_seq);
        (entry.revoked.is_empty() || entry.revoked.iter().any(is_good_by)).then_some(&entry.signing_key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::{SignatureAlgorithm, SigningKey};

    fn key() -> SigningKey {
        SigningKey::generate(SignatureAlgorithm::default()).expect("system randomness")
    }

    fn site(id: u32, tier: Tier, parents: &[u32], key: &SigningKey) -> SiteEntry {
        SiteEntry {
            site: SiteId(id),
            name: format!("site {id}"),
            tier,
            parents: parents.iter().map(|p| SiteId(*p)).collect(),
            areas: vec![],
            addresses: vec![],
            nodes: vec![NodeEntry {
                node: NodeId(1),
                signing_key: key.public_key(),
                encryption_key: EncryptionKey::from_bytes([1; 32]),
                revoked: vec![],
            }],
        }
    }

    fn register(node_key: &SigningKey) -> Register {
        Register {
            tree: "test".into(),
            version: 1,
            requires: vec![],
            roots: vec![],
            sites: vec![
                site(1, Tier::Central, &[], node_key),
                site(2, Tier::Province, &[1], node_key),
                site(3, Tier::District, &[2, 1], node_key),
            ],
            origins: vec![OriginEntry { origin: OriginId(3), author: SiteId(3) }],
            revoked_identities: vec![],
        }
    }

    #[test]
    fn a_register_of_another_key_or_an_older_version_is_refused() {
        let (centre, other) = (key(), key());
        let signed = SignedRegister::issue(&register(&key()), &centre).expect("whole");
        assert!(signed.verify(&centre.public_key(), "test").is_ok());
        assert!(matches!(signed.verify(&other.public_key(), "test"), Err(RegisterError::Untrusted { .. })));
        assert!(matches!(signed.verify(&centre.public_key(), "vn"), Err(RegisterError::OtherTree { .. })));
        let mut altered = signed.clone();
        altered.text = altered.text.replace("site 3", "site 9");
        assert!(altered.verify(&centre.public_key(), "test").is_err());
    }

    #[test]
    fn a_parent_must_exist_on_a_strictly_higher_tier() {
        let node_key = key();
        for (site, parents) in [(1, vec![3]), (1, vec![9])] {
            let mut register = register(&node_key);
            register.sites[site].parents = parents.into_iter().map(SiteId).collect();
            assert!(matches!(register.check(), Err(RegisterError::NotWhole(_))));
        }
    }

    #[test]
    fn a_revoked_key_vouches_only_up_to_its_last_good_batch() {
        let (centre, node_key) = (key(), key());
        let mut revoking = register(&node_key);
        revoking.sites[2].nodes[0].revoked.push(Revocation { origin: OriginId(3), last_good_epoch: 1, last_good_seq: StreamSeq(10) });
        let verified = SignedRegister::issue(&revoking, &centre).expect("whole").verify(&centre.public_key(), "test").expect("good");
        let key_at = |epoch, seq| verified.head_key(OriginId(3), SiteId(3), NodeId(1), epoch, StreamSeq(seq));
        assert!(key_at(1, 10).is_some());
        assert!(key_at(1, 11).is_none());
        assert!(key_at(2, 1).is_none());
        assert!(verified.head_key(OriginId(3), SiteId(2), NodeId(1), 1, StreamSeq(1)).is_none(), "only the author signs");
    }

    #[test]
    fn a_stream_is_led_through_its_author_and_every_site_above_it_and_through_no_other() {
        let centre = key();
        let mut tree = register(&key());
        tree.sites.push(site(4, Tier::Province, &[1], &key()));
        tree.sites.push(site(5, Tier::District, &[4], &key()));
        let led = |tree: &Register| {
            let verified = SignedRegister::issue(tree, &centre).expect("whole").verify(&centre.public_key(), "test").expect("good");
            (0..=6).filter(|site| verified.leads_through(OriginId(3), SiteId(*site))).collect::<Vec<_>>()
        };
        assert_eq!(led(&tree), [1, 2, 3]);
        tree.sites[2].parents.push(SiteId(4));
        assert_eq!(led(&tree), [1, 2, 3, 4], "a stand-in too");
        tree.origins.clear();
        assert_eq!(led(&tree), [0; 0], "an origin that the register does not know");
    }

    #[test]
    fn a_revoked_key_vouches_for_nothing_of_an_origin_that_was_added_later() {
        let (centre, node_key) = (key(), key());
        let mut revoking = register(&node_key);
        revoking.sites[2].nodes[0].revoked.push(Revocation { origin: OriginId(3), last_good_epoch: 1, last_good_seq: StreamSeq(10) });
        revoking.origins.push(OriginEntry { origin: OriginId(4), author: SiteId(3) });
        let verified = SignedRegister::issue(&revoking, &centre).expect("whole").verify(&centre.public_key(), "test").expect("good");
        assert!(verified.head_key(OriginId(4), SiteId(3), NodeId(1), 1, StreamSeq(1)).is_none());
        assert!(verified.head_key(OriginId(3), SiteId(3), NodeId(1), 1, StreamSeq(10)).is_some());
    }

    #[test]
    fn heads_of_a_node_whose_certificate_was_revoked_stay_valid() {
        let (centre, node_key) = (key(), key());
        let mut revoking = register(&node_key);
        let identity = "kho://test/site/3/node/1".into();
        revoking.revoked_identities.push(RevokedIdentity { identity, issued_before: SiteTime(1_800_000_000_000) });
        let verified = SignedRegister::issue(&revoking, &centre).expect("whole").verify(&centre.public_key(), "test").expect("good");
        assert_eq!(verified.head_key(OriginId(3), SiteId(3), NodeId(1), 1, StreamSeq(9)), Some(&node_key.public_key()));
    }

    #[test]
    fn a_subtree_follows_active_parents() {
        let centre = key();
        let verified =
            SignedRegister::issue(&register(&key()), &centre).expect("whole").verify(&centre.public_key(), "test").expect("good");
        assert_eq!(verified.subtree(SiteId(2)).into_iter().collect::<Vec<_>>(), [SiteId(2), SiteId(3)]);
    }
}
