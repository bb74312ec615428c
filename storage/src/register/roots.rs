//! Whose signatures a register needs: sets of keys, of which so many have to sign.
//!
//! ```toml
//! [[roots]]
//! threshold = 2
//! keys = [
//!   { algorithm = "ecdsa_p256_sha256", bytes = "04ab…" },
//!   { algorithm = "ecdsa_p256_sha256", bytes = "04cd…" },
//!   { algorithm = "ecdsa_p256_sha256", bytes = "04ef…" },
//! ]
//! ```
//! A register that names roots says who signs its successors; one that names none leaves it as it was. With two sets either of them may
//! sign, so that a key is changed without a day on which a register of the new one is refused somewhere.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::signature::PublicKey;

/// Sets of roots at a time: the old one and the new one.
pub const ROOT_SETS_MAX: usize = 2;

/// Keys of a set at most.
pub const ROOT_KEYS_MAX: usize = 16;

/// Keys of which `threshold` have to sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootSet {
    /// At least 1, at most as many as there are keys.
    pub threshold: usize,
    /// No two are the same; at most [`ROOT_KEYS_MAX`].
    pub keys: Vec<PublicKey>,
}

/// The sets of which any one may sign a register. At least one, at most [`ROOT_SETS_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roots(pub Vec<RootSet>);

impl Roots {
    /// One key that signs alone.
    pub fn of(key: &PublicKey) -> Self {
        Self(vec![RootSet { threshold: 1, keys: vec![key.clone()] }])
    }

    /// Every key of every set.
    pub fn keys(&self) -> impl Iterator<Item = &PublicKey> {
        self.0.iter().flat_map(|set| &set.keys)
    }

    pub fn names(&self, key: &PublicKey) -> bool {
        self.keys().any(|named| named == key)
    }

    /// How many signatures are missing beside good ones by these keys: of the set that lacks the fewest. None are when it is 0.
    pub fn missing(&self, good: &BTreeSet<&PublicKey>) -> usize {
        let lacks = |set: &RootSet| set.threshold.saturating_sub(set.keys.iter().filter(|key| good.contains(key)).count());
        self.0.iter().map(lacks).min().unwrap_or(usize::MAX)
    }
}

/// Checks the sets that a register names: none at all, or some that can sign.
///
/// # Errors
/// What is wrong.
pub(super) fn check(sets: &[RootSet]) -> Result<(), String> {
    if sets.len() > ROOT_SETS_MAX {
        return Err(format!("there are {} sets of roots, at most {ROOT_SETS_MAX} may stand at a time", sets.len()));
    }
    for set in sets {
        let distinct: BTreeSet<&PublicKey> = set.keys.iter().collect();
        if distinct.len() < set.keys.len() || set.keys.len() > ROOT_KEYS_MAX {
            return Err(format!("a set of roots has a key twice, or more than {ROOT_KEYS_MAX}"));
        }
        if set.threshold == 0 || set.threshold > set.keys.len() {
            return Err(format!("{} of {} roots can't sign: the threshold is from 1 to the number of keys", set.threshold, set.keys.len()));
        }
        if let Some(key) = set.keys.iter().find(|key| key.bytes.len() != key.algorithm.public_key_bytes()) {
            return Err(format!(
                "a root's key has {} bytes, one of its algorithm has {}",
                key.bytes.len(),
                key.algorithm.public_key_bytes()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::{SignatureAlgorithm, SigningKey};

    fn keys(number: usize) -> Vec<PublicKey> {
        (0..number).map(|_| SigningKey::generate(SignatureAlgorithm::Ed25519).expect("system randomness").public_key()).collect()
    }

    #[test]
    fn one_set_has_to_reach_its_threshold_and_two_halves_make_no_whole() {
        let keys = keys(5);
        let roots = Roots(vec![RootSet { threshold: 2, keys: keys[..3].to_vec() }, RootSet { threshold: 2, keys: keys[3..].to_vec() }]);
        let missing = |signed: &[usize]| roots.missing(&signed.iter().map(|place| &keys[*place]).collect());
        assert_eq!(missing(&[]), 2);
        assert_eq!(missing(&[0]), 1);
        assert_eq!(missing(&[0, 3]), 1, "one of each set");
        assert_eq!((missing(&[0, 2]), missing(&[3, 4]), missing(&[0, 1, 2])), (0, 0, 0));
    }

    #[test]
    fn roots_that_could_never_sign_are_refused() {
        let keys = keys(2);
        let set = |threshold, keys: &[PublicKey]| RootSet { threshold, keys: keys.to_vec() };
        assert_eq!(check(&[set(1, &keys[..1]), set(2, &keys)]), Ok(()));
        assert_eq!(check(&[]), Ok(()));
        let short = PublicKey { bytes: vec![1], ..keys[0].clone() };
        for wrong in [
            vec![set(0, &keys)],
            vec![set(3, &keys)],
            vec![set(1, &[])],
            vec![set(1, &[keys[0].clone(), keys[0].clone()])],
            vec![set(1, &[short])],
            vec![set(1, &keys), set(1, &keys), set(1, &keys)],
        ] {
            assert!(check(&wrong).is_err(), "{wrong:?}");
        }
    }
}
