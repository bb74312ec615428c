//! What is handed down: the register that stands, behind those that changed who signs registers.
//!
//! A site that was away while the roots changed believes the newest register only after these: each is signed by whom the one before it
//! named.

use std::sync::Arc;

use super::SignedRegister;
use crate::ids::Hash32;

/// The register that stands and the ones before it that changed the roots, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterChain {
    changes: Vec<Named>,
    newest: Named,
}

/// A register with its version and the hash of its text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    version: u64,
    hash: Hash32,
    signed: Arc<SignedRegister>,
}

impl Named {
    fn new((version, signed): (u64, Arc<SignedRegister>)) -> Self {
        Self { version, hash: signed.hash(), signed }
    }
}

impl RegisterChain {
    /// `changes` ascend by version. A register's version goes with it.
    pub fn new(changes: Vec<(u64, Arc<SignedRegister>)>, version: u64, newest: Arc<SignedRegister>) -> Self {
        Self { changes: changes.into_iter().map(Named::new).collect(), newest: Named::new((version, newest)) }
    }

    /// A register alone.
    pub fn single(version: u64, newest: SignedRegister) -> Self {
        Self::new(vec![], version, Arc::new(newest))
    }

    pub fn newest(&self) -> &SignedRegister {
        &self.newest.signed
    }

    /// What a site needs that has this version, in the order in which it has to adopt it. Nothing, when it is not older.
    pub fn newer_than(&self, version: u64) -> impl Iterator<Item = &SignedRegister> {
        self.lacking(version).map(|named| &*named.signed)
    }

    /// The same by version and by the hash of the text.
    pub fn names_newer_than(&self, version: u64) -> impl Iterator<Item = (u64, Hash32)> {
        self.lacking(version).map(|named| (named.version, named.hash))
    }

    /// The register of which the text has this hash, if it is handed down.
    pub fn find(&self, hash: Hash32) -> Option<&Arc<SignedRegister>> {
        self.changes.iter().chain([&self.newest]).find(|named| named.hash == hash).map(|named| &named.signed)
    }

    /// The registers that changed the roots, with their versions.
    pub fn changes(&self) -> impl DoubleEndedIterator<Item = (u64, &SignedRegister)> {
        self.changes.iter().map(|named| (named.version, &*named.signed))
    }

    fn lacking(&self, version: u64) -> impl Iterator<Item = &Named> {
        let newest = &self.newest;
        let changes = self.changes.iter().filter(move |changed| changed.version > version && changed.version < newest.version);
        changes.chain((newest.version > version).then_some(newest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_given_every_change_of_the_roots_that_it_lacks_and_then_the_newest() {
        let signed = |version: u64| Arc::new(SignedRegister { text: format!("version = {version}\n"), signatures: vec![] });
        let chain = RegisterChain::new(vec![(3, signed(3)), (5, signed(5)), (9, signed(9))], 9, signed(9));
        let given = |version| chain.newer_than(version).map(|signed| signed.claimed_version().expect("it has one")).collect::<Vec<_>>();
        assert_eq!(given(1), [3, 5, 9]);
        assert_eq!(given(3), [5, 9]);
        assert_eq!(given(8), [9]);
        assert_eq!(given(9), [0; 0]);
        assert_eq!(given(12), [0; 0]);
        assert_eq!(chain.names_newer_than(3).collect::<Vec<_>>(), [(5, signed(5).hash()), (9, signed(9).hash())]);
        assert_eq!(chain.find(signed(5).hash()), Some(&signed(5)));
        assert_eq!(chain.find(signed(4).hash()), None);
    }
}
