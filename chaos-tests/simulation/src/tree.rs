//! The tree of a run: seven sites on four tiers, and the registers that the centre issues.
//!
//! ```text
//!   central    C 1
//!             ╱   ┆           ── active parent    ┆ stand-in
//!   region  R 2   ┆
//!          ╱   ╲  ┆
//!   prov. P 3   Q 4           P authors an origin too
//!         ╱ ╲ ╲┆┆╱ ╲
//!   dist. A 5  B 6  D 7       A and B: P, else Q    D: Q, else R
//! ```
//! A stream of A reaches the centre by P and by Q, and by P's two parents.

use std::sync::{Arc, LazyLock};

use kho_storage::{
    encryption::EncryptionKey,
    ids::{NodeId, OriginId, SiteId, Tier},
    level::SUPPORTED_IN_TESTS,
    register::{NodeEntry, OriginEntry, Register, RootSet, SignedRegister, SiteEntry},
    schema::{Schema, population},
    signature::{PublicKey, SigningKey},
    warehouse::WarehouseConfig,
};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

pub const TREE: &str = "simulated";
pub const SITES: u32 = 7;
pub const CENTRE: SiteId = SiteId(1);
pub const REGION: SiteId = SiteId(2);
pub const P: SiteId = SiteId(3);
pub const Q: SiteId = SiteId(4);
pub const A: SiteId = SiteId(5);
pub const B: SiteId = SiteId(6);
pub const D: SiteId = SiteId(7);
/// Nodes of every site.
pub const NODES: u64 = 3;
/// Ids that the nodes of a site may have in the course of a run: a node that is replaced never comes back under its own.
pub const NODE_IDS: u64 = 6;
/// Sites that author; each the origin of its own number.
pub const AUTHORS: [SiteId; 4] = [P, A, B, D];
/// Sites to which others send.
pub const PARENTS: [SiteId; 4] = [CENTRE, REGION, P, Q];
/// Sites that send to others.
pub const CHILDREN: [SiteId; 6] = [REGION, P, Q, A, B, D];
/// Sites that adopt and author nothing.
pub const ADOPTERS: [SiteId; 3] = [CENTRE, REGION, Q];

/// Roots of which there are keys: more than a run issues registers.
const ROOTS_MAX: u64 = 64;

/// Keys and schema are the same in every run: they are made once.
struct Made {
    nodes: Vec<SigningKey>,
    /// By number. The first is the key that every configuration pins.
    roots: Vec<SigningKey>,
    schema: Arc<Schema>,
    centre_public: PublicKey,
}

static MADE: LazyLock<Made> = LazyLock::new(|| {
    let node_keys = u64::from(SITES) * NODE_IDS;
    let nodes = (0..node_keys).map(|place| key(place + 1)).collect();
    let roots: Vec<SigningKey> = (0..ROOTS_MAX).map(|number| key(if number == 0 { 0 } else { node_keys + number })).collect();
    Made { centre_public: roots[0].public_key(), nodes, roots, schema: Arc::new(population().clone()) }
});

/// The register with which every run begins in which no node is replaced.
static FIRST_REGISTER: LazyLock<SignedRegister> = LazyLock::new(|| Parents::first(NODES).signed(TREE));

/// An Ed25519 key from its number: the only algorithm here whose signatures are the same each time.
fn key(number: u64) -> SigningKey {
    let mut seed = [7u8; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    let public = Ed25519KeyPair::from_seed_unchecked(&seed).expect("any 32 bytes are a seed");
    // PKCS#8 version 2 (RFC 5958, RFC 8410): version, algorithm, the seed, and the public key.
    let mut der = vec![0x30, 0x53, 0x02, 0x01, 0x01, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    der.extend(seed);
    der.extend([0xa1, 0x23, 0x03, 0x21, 0x00]);
    der.extend(public.public_key().as_ref());
    SigningKey::from_pkcs8_der(&der).expect("the document was just made")
}

/// The root of this number: the key by which registers are signed. The first is the one that every configuration pins.
fn root_key(number: u64) -> &'static SigningKey {
    MADE.roots.get(number as usize).expect("a run issues fewer registers than there are keys for")
}

/// The key by which `node` of `site` signs heads.
pub fn signing_key(site: SiteId, node: NodeId) -> &'static SigningKey {
    &MADE.nodes[((u64::from(site.0) - 1) * NODE_IDS + node.0 - 1) as usize]
}

/// Whose warehouse a site's is, and whom it trusts.
pub fn warehouse_config(site: SiteId) -> WarehouseConfig {
    WarehouseConfig {
        tree: TREE.into(),
        site,
        register_key: MADE.centre_public.clone(),
        schema: Arc::clone(&MADE.schema),
        limits: Default::default(),
        levels: SUPPORTED_IN_TESTS,
    }
}

/// The address at which `node` of `site` answers after so many relocations of its office.
pub fn address(site: SiteId, node: NodeId, relocations: u32) -> String {
    if relocations == 0 { format!("{site}:{node}") } else { format!("{site}:{node}@{relocations}") }
}

/// Reads what [`address`] wrote.
pub fn node_at(address: &str) -> Option<(SiteId, NodeId, u32)> {
    let (site, rest) = address.split_once(':')?;
    let (node, relocations) = rest.split_once('@').unwrap_or((rest, "0"));
    Some((site.parse().ok()?, node.parse().ok()?, relocations.parse().ok()?))
}

pub fn sites() -> impl Iterator<Item = SiteId> {
    (1..=SITES).map(SiteId)
}

pub fn origins() -> impl Iterator<Item = OriginId> {
    AUTHORS.into_iter().map(|site| OriginId(site.0))
}

/// The site's letter, for people.
pub fn name(site: SiteId) -> &'static str {
    ["C", "R", "P", "Q", "A", "B", "D"].get(site.0 as usize - 1).copied().unwrap_or("?")
}

/// Who sends to whom, as the newest register has it.
#[derive(Debug, Clone)]
pub struct Parents {
    version: u64,
    /// By site, from the first on.
    lists: Vec<Vec<SiteId>>,
    /// By site: how often its office has moved, and all of its nodes with it.
    relocations: Vec<u32>,
    /// Ids of nodes for which the register has keys, at every site.
    node_ids: u64,
}

impl Parents {
    /// The register is read again and again by every site: it is shorter where no node is replaced.
    pub fn first(node_ids: u64) -> Self {
        Self {
            version: 1,
            node_ids,
            lists: vec![vec![], vec![CENTRE], vec![REGION, CENTRE], vec![REGION, CENTRE], vec![P, Q], vec![P, Q], vec![Q, REGION]],
            relocations: vec![0; SITES as usize],
        }
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn of(&self, site: SiteId) -> &[SiteId] {
        &self.lists[site.0 as usize - 1]
    }

    /// How often the office of `site` has moved.
    pub fn relocations_of(&self, site: SiteId) -> u32 {
        self.relocations[site.0 as usize - 1]
    }

    /// A newer version in which all nodes of `site` have other addresses.
    pub fn relocated(&self, site: SiteId) -> Self {
        let mut next = self.clone();
        next.version += 1;
        next.relocations[site.0 as usize - 1] += 1;
        next
    }

    /// Sites that have `parent` as their active parent or as a stand-in.
    pub fn children_of(&self, parent: SiteId) -> Vec<SiteId> {
        sites().filter(|site| self.of(*site).contains(&parent)).collect()
    }

    /// A newer version in which the active parent of `site` and its stand-in have changed places, or, when it had only one, in
    /// which it has the other again.
    pub fn swapped(&self, site: SiteId) -> Self {
        let mut next = self.clone();
        next.version += 1;
        let list = &mut next.lists[site.0 as usize - 1];
        match *list.as_slice() {
            [only] => list.extend(Self::first(self.node_ids).of(site).iter().filter(|parent| **parent != only)),
            _ => list.reverse(),
        }
        next
    }

    /// A newer version in which `site` has lost its active parent, and the stand-in is the only one.
    pub fn without_active(&self, site: SiteId) -> Self {
        let mut next = self.clone();
        next.version += 1;
        let list = &mut next.lists[site.0 as usize - 1];
        if list.len() > 1 {
            list.remove(0);
        }
        next
    }

    /// `site`'s active parent, that one's, and so on up to the root.
    pub fn above(&self, site: SiteId) -> Vec<SiteId> {
        let mut path = Vec::new();
        let mut at = site;
        while let Some(parent) = self.of(at).first() {
            path.push(*parent);
            at = *parent;
        }
        path
    }

    /// Who signs the registers after this one. Every other register names a new root beside the one that signs, and the one after it that
    /// new root alone, by which it is signed.
    pub fn roots(&self) -> Vec<RootSet> {
        let root = self.root();
        let set = |number| RootSet { threshold: 1, keys: vec![root_key(number).public_key()] };
        match self.version {
            1 => vec![],
            version if version.is_multiple_of(2) => vec![set(root), set(root + 1)],
            _ => vec![set(root)],
        }
    }

    /// The number of the root that signs.
    fn root(&self) -> u64 {
        (self.version - 1) / 2
    }

    /// The register that says so, signed by the centre.
    pub fn register(&self) -> SignedRegister {
        if (self.version, self.node_ids) == (1, NODES) { FIRST_REGISTER.clone() } else { self.signed(TREE) }
    }

    /// Another register of the same version, signed by the same root.
    pub fn doubled(&self) -> SignedRegister {
        self.signed("another centre")
    }

    fn signed(&self, centre: &str) -> SignedRegister {
        let mut register = Register {
            tree: TREE.into(),
            version: self.version,
            requires: vec![],
            roots: self.roots(),
            sites: sites().map(|site| self.entry(site)).collect(),
            origins: AUTHORS.into_iter().map(|author| OriginEntry { origin: OriginId(author.0), author }).collect(),
            revoked_identities: vec![],
        };
        register.sites[0].name = centre.into();
        SignedRegister::issue(&register, root_key(self.root())).expect("the tree is whole")
    }

    fn entry(&self, site: SiteId) -> SiteEntry {
        let tier = [Tier::Central, Tier::Region, Tier::Province, Tier::Province, Tier::District, Tier::District, Tier::District]
            [site.0 as usize - 1];
        let ids = |up_to| (1..=up_to).map(NodeId);
        SiteEntry {
            site,
            name: name(site).into(),
            tier,
            parents: self.of(site).to_vec(),
            areas: vec![],
            addresses: ids(NODE_IDS).map(|node| address(site, node, self.relocations_of(site))).collect(),
            nodes: ids(self.node_ids)
                .map(|node| NodeEntry {
                    node,
                    signing_key: signing_key(site, node).public_key(),
                    encryption_key: EncryptionKey::from_bytes([1; 32]),
                    revoked: vec![],
                })
                .collect(),
        }
    }
}
