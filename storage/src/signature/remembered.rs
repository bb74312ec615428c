//! For simulations alone: signatures that were found good on this thread. Many simulated sites verify the same one again and again, and
//! whether it is good depends on nothing but key, message and signature. A node remembers none.

use std::{cell::RefCell, collections::HashSet};

use super::{PublicKey, Signature};
use crate::ids::Hash32;

/// When so many are remembered, all are forgotten.
const REMEMBERED_MAX: usize = 10_000;

thread_local! {
    static REMEMBERED: RefCell<Option<HashSet<Hash32>>> = const { RefCell::new(None) };
}

/// From here on this thread verifies each good signature once.
pub fn remember_on_this_thread() {
    REMEMBERED.with_borrow_mut(|remembered| {
        remembered.get_or_insert_default();
    });
}

/// Whether a signature is good, as `verify` finds out, or found out before.
pub(super) fn is_good(key: &PublicKey, message: &[u8], signature: &Signature, verify: impl FnOnce() -> bool) -> bool {
    if REMEMBERED.with_borrow(Option::is_none) {
        return verify();
    }
    let name = name(key, message, signature);
    if REMEMBERED.with_borrow(|remembered| remembered.as_ref().is_some_and(|remembered| remembered.contains(&name))) {
        return true;
    }
    let is_good = verify();
    if is_good {
        REMEMBERED.with_borrow_mut(|remembered| {
            let remembered = remembered.get_or_insert_default();
            if remembered.len() >= REMEMBERED_MAX {
                remembered.clear();
            }
            remembered.insert(name);
        });
    }
    is_good
}

/// A hash over all that decides. The lengths go first, so that no two different things have the same bytes.
fn name(key: &PublicKey, message: &[u8], signature: &Signature) -> Hash32 {
    let lengths = format!("{} {} {} ", key.algorithm.name(), key.bytes.len(), signature.bytes.len());
    Hash32::of(&[lengths.as_bytes(), &key.bytes, &signature.bytes, message].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::{SignatureAlgorithm, SigningKey};

    #[test]
    fn a_remembered_signature_is_good_for_its_own_key_and_message_alone() {
        remember_on_this_thread();
        let key = SigningKey::generate(SignatureAlgorithm::Ed25519).expect("system randomness");
        let other = SigningKey::generate(SignatureAlgorithm::Ed25519).expect("system randomness");
        let signature = key.sign(b"head").expect("system randomness");
        for _ in 0..2 {
            assert_eq!(key.public_key().verify(b"head", &signature), Ok(()));
            assert!(key.public_key().verify(b"heat", &signature).is_err());
            assert!(other.public_key().verify(b"head", &signature).is_err());
            let mut altered = signature.clone();
            altered.bytes[0] ^= 1;
            assert!(key.public_key().verify(b"head", &altered).is_err());
        }
        assert!(is_good(&key.public_key(), b"head", &signature, || panic!("it was verified before")));
    }
}
