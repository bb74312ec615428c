//! The register that stands, whom the site believes about the next one, and the registers that said so.
//!
//! ```text
//!   empty site      the key that the founding node's configuration pins signs the first register
//!   register 1      names no roots: that key goes on to sign
//!   register 7      names two sets, the old key and the new one: either may sign
//!   register 8      signed by the new one, names it alone: the old key is believed no more
//! ```
//! Invariants: who is believed is state, and what a node's configuration says never changes what a register comes to (test
//! `what_a_register_comes_to_depends_on_the_site_s_state_and_never_on_a_node_s_configuration`); a register needs the signatures of whom the
//! one before it named (test `a_register_needs_the_roots_that_the_one_before_it_named`); the same version with other content is refused (test
//! `another_register_of_the_version_that_stands_is_refused_and_both_hashes_are_named`).

use std::{cmp::Ordering, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    Decided, Warehouse,
    meta::{decode_meta, put_meta, read_meta},
};
use crate::{
    command::{Outcome, Refusal},
    db::{Db, WriteSet},
    error::StorageError,
    keys::{Meta, MetaKind, Space},
    register::{RegisterChain, RegisterError, Roots, SignedRegister, VerifiedRegister, check_level},
    signature::PublicKey,
};

/// Registers that changed the roots and are kept for sites that were away, at most; the oldest go.
pub const ROOT_CHANGES_MAX: usize = 32;

/// Their texts together, in bytes, at most; the newest is kept whatever its length.
pub const ROOT_CHANGES_BYTES_MAX: usize = 128 << 20;

/// Whom a site believes about registers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedRoots {
    /// Who signs the next register.
    pub next: Roots,
    /// Who signed the one that stands.
    pub held: Roots,
}

/// The register that stands, with what belongs to it.
#[derive(Debug)]
pub(super) struct HeldRegister {
    pub verified: Arc<VerifiedRegister>,
    pub chain: Arc<RegisterChain>,
    pub trusted: TrustedRoots,
}

/// What a register is to a site that believes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JudgedRegister {
    Newer(Box<VerifiedRegister>),
    /// It stands already, or one of this later version does.
    NotNewer {
        held: u64,
    },
}

impl Warehouse {
    /// The adopted register, if the site has one.
    pub fn register(&self) -> Option<Arc<VerifiedRegister>> {
        self.held_register.load().as_ref().map(|held| Arc::clone(&held.verified))
    }

    /// The adopted register with its signatures, and the ones before it that changed the roots: to be handed down.
    pub fn register_chain(&self) -> Option<Arc<RegisterChain>> {
        self.held_register.load().as_ref().map(|held| Arc::clone(&held.chain))
    }

    /// Whom the site believes about registers; `None` before the first.
    pub fn trusted_roots(&self) -> Option<TrustedRoots> {
        self.held_register.load().as_ref().map(|held| held.trusted.clone())
    }

    /// What adopting `signed` would come to now. A site without a register believes the key that this node's configuration pins.
    ///
    /// # Errors
    /// Why it would be refused; whoever sent it is at fault.
    pub fn judge_register(&self, signed: &SignedRegister) -> Result<JudgedRegister, RegisterError> {
        self.judge(signed, self.register_key())
    }

    fn judge(&self, signed: &SignedRegister, pinned: &PublicKey) -> Result<JudgedRegister, RegisterError> {
        // By the level in the state, and not by what this build understands: nodes of several builds decide alike.
        let newer = |verified: VerifiedRegister| check_level(&verified, self.level()).map(|()| JudgedRegister::Newer(Box::new(verified)));
        let Some(held) = self.held_register.load_full() else { return newer(signed.verify(pinned, self.tree())?) };
        let version = held.verified.version();
        // One that was signed by roots of before can't be verified any more, and changes nothing.
        let is_older = signed.claimed_version().is_some_and(|claimed| claimed < version);
        if is_older || signed.text == held.chain.newest().text {
            return Ok(JudgedRegister::NotNewer { held: version });
        }
        let verified = match signed.verify_under(&held.trusted.next, self.tree()) {
            // Whoever signed the one that stands may have signed another of its version, and be believed no more.
            Err(untrusted @ RegisterError::Untrusted { .. }) => match signed.verify_under(&held.trusted.held, self.tree()) {
                Ok(verified) if verified.version() == version => verified,
                _ => return Err(untrusted),
            },
            judged => judged?,
        };
        match verified.version().cmp(&version) {
            Ordering::Greater => newer(verified),
            Ordering::Equal => Err(RegisterError::Doubled { version, held: held.verified.hash(), given: verified.hash() }),
            Ordering::Less => Ok(JudgedRegister::NotNewer { held: version }),
        }
    }

    /// Adopts a register of a higher version; an older one changes nothing. `pinned` is believed by a site without a register alone.
    pub(super) fn adopt_register(&self, pinned: &PublicKey, signed: &SignedRegister, set: &mut WriteSet) -> Decided {
        let verified = match self.judge(signed, pinned) {
            Ok(JudgedRegister::Newer(verified)) => verified,
            Ok(JudgedRegister::NotNewer { held }) => return Ok(Ok(Outcome::RegisterAdopted { version: held })),
            Err(RegisterError::Doubled { version, held, given }) => return Ok(Err(Refusal::RegisterDoubled { version, held, given })),
            Err(error) => return Ok(Err(Refusal::Register(error.to_string()))),
        };
        let version = verified.version();
        let before = self.held_register.load_full();
        let held = before.as_ref().map_or_else(|| Roots::of(pinned), |before| before.trusted.next.clone());
        let next = verified.named_roots().unwrap_or_else(|| held.clone());
        if next != held {
            if let Some(before) = &before {
                forget_root_changes(&before.chain, signed.text.len(), set);
            }
            put_meta(set, &Meta::RootChange(version), signed)?;
        }
        put_meta(set, &Meta::Register, signed)?;
        put_meta(set, &Meta::TrustedRoots, &TrustedRoots { next, held })?;
        Ok(Ok(Outcome::RegisterAdopted { version }))
    }

    /// Whether the register of this version is the one that stands. One that was adopted is of a later version than the one before it.
    pub(super) fn holds_register(&self, version: u64) -> bool {
        self.held_register.load().as_ref().is_some_and(|held| held.verified.version() == version)
    }

    /// Reads the register that stands, and verifies it once more.
    pub(super) fn load_register(&self) -> Result<(), StorageError> {
        let db = self.db.load();
        let Some(signed) = read_meta::<SignedRegister>(&db, &Meta::Register)? else {
            self.held_register.store(None);
            return Ok(());
        };
        let trusted: TrustedRoots =
            read_meta(&db, &Meta::TrustedRoots)?.ok_or_else(|| StorageError::damaged("register", "its roots are not there"))?;
        let verified = signed.verify_under(&trusted.held, self.tree()).map_err(|e| StorageError::damaged("register", e))?;
        let chain = RegisterChain::new(root_changes(&db)?, verified.version(), Arc::new(signed));
        let held = HeldRegister { verified: Arc::new(verified), chain: Arc::new(chain), trusted };
        self.held_register.store(Some(Arc::new(held)));
        Ok(())
    }
}

/// Registers that changed the roots, ascending by version.
fn root_changes(db: &Db) -> Result<Vec<(u64, Arc<SignedRegister>)>, StorageError> {
    let (from, to) = MetaKind::RootChange.range();
    let mut found = Vec::new();
    db.view().scan(Space::Meta, &from, &to, |key, value| {
        if let Some(meta @ Meta::RootChange(version)) = Meta::decode(key) {
            found.push((version, Arc::new(decode_meta(&meta, value)?)));
        }
        Ok(true)
    })?;
    Ok(found)
}

/// Makes room for one more of so many bytes.
fn forget_root_changes(chain: &RegisterChain, bytes: usize, set: &mut WriteSet) {
    let (mut number, mut sum) = (1, bytes);
    for (version, signed) in chain.changes().rev() {
        (number, sum) = (number + 1, sum.saturating_add(signed.text.len()));
        if number > ROOT_CHANGES_MAX || sum > ROOT_CHANGES_BYTES_MAX {
            set.delete(Space::Meta, Meta::RootChange(version).encode());
        }
    }
}
