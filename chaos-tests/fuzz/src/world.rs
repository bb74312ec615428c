//! A small tree that every target shares: centre 1, province 2, district 3, with keys made once a process.

use std::sync::LazyLock;

use kho_storage::{
    db::DbLimits,
    encryption::DecryptionKey,
    ids::{Epoch, NodeId, OriginId, SiteId, Tier},
    level::SUPPORTED,
    register::{AreaScope, NodeEntry, OriginEntry, Register, SignedRegister, SiteEntry, VerifiedRegister},
    schema::population,
    signature::{SignatureAlgorithm, SigningKey},
    warehouse::WarehouseConfig,
};

pub const TREE: &str = "seed";
pub const CENTRE: SiteId = SiteId(1);
pub const PROVINCE: SiteId = SiteId(2);
pub const DISTRICT: SiteId = SiteId(3);
pub const NODE: NodeId = NodeId(1);
/// The district's stream.
pub const ORIGIN: OriginId = OriginId(3);

/// Keys, and the register that pins them.
pub struct World {
    /// Signs registers.
    pub centre: SigningKey,
    /// Signs the district's heads, and every other node's.
    pub district: SigningKey,
    /// Decrypts what is written for any node.
    pub reader: DecryptionKey,
    pub signed: SignedRegister,
    pub register: VerifiedRegister,
}

/// The one tree of this process.
pub static WORLD: LazyLock<World> = LazyLock::new(World::new);

impl World {
    fn new() -> Self {
        let key = || SigningKey::generate(SignatureAlgorithm::Ed25519).expect("the system has randomness");
        let (centre, district) = (key(), key());
        let reader = DecryptionKey::generate().expect("the system has randomness");
        let site = |site, tier, parents: &[SiteId]| SiteEntry {
            site,
            name: format!("site {site}"),
            tier,
            parents: parents.to_vec(),
            areas: vec![AreaScope { catalogue: "legacy-63".into(), code: "001".into() }],
            addresses: vec!["127.0.0.1:7401".into()],
            nodes: vec![NodeEntry { node: NODE, signing_key: district.public_key(), encryption_key: reader.public_key(), revoked: vec![] }],
        };
        let register = Register {
            tree: TREE.into(),
            version: 7,
            requires: vec![],
            roots: vec![],
            sites: vec![
                site(CENTRE, Tier::Central, &[]),
                site(PROVINCE, Tier::Province, &[CENTRE]),
                site(DISTRICT, Tier::District, &[PROVINCE, CENTRE]),
            ],
            origins: vec![OriginEntry { origin: ORIGIN, author: DISTRICT }],
            revoked_identities: vec![],
        };
        let signed = SignedRegister::issue(&register, &centre).expect("the register is whole");
        let register = signed.verify(&centre.public_key(), TREE).expect("it was just signed");
        Self { centre, district, reader, signed, register }
    }

    /// The epoch of the district's stream.
    pub fn epoch(&self) -> Epoch {
        self.register.first_epoch(ORIGIN)
    }

    /// How a warehouse of `site` is opened.
    pub fn warehouse(&self, site: SiteId) -> WarehouseConfig {
        let limits = DbLimits { cache_bytes_max: 4 << 20, write_buffer_bytes_max: 8 << 20 };
        WarehouseConfig {
            tree: TREE.into(),
            site,
            register_key: self.centre.public_key(),
            schema: std::sync::Arc::new(population().clone()),
            limits,
            levels: SUPPORTED,
        }
    }
}
