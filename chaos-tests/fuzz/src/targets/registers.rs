//! Registers, and what stands in requests as JSON.

use std::collections::BTreeSet;

use kho_node::api::{NodePlace, SiteInit};
use kho_storage::{
    codec::{self, Blob},
    register::{Register, SignedRegister},
    signature::Signature,
};

use super::choice;
use crate::{
    survives::{decoded, decoded_json},
    world::{TREE, WORLD},
};

/// A register as it travels; and the same bytes under the centre's own signature, so that what is signed is judged too.
pub fn register(bytes: &[u8]) {
    if let Some(signed) = decoded::<SignedRegister>(bytes) {
        assert!(signed.verify(&WORLD.centre.public_key(), TREE).is_err(), "nobody guesses the centre's signature");
    }
    let Some(register) = decoded::<Register>(bytes) else { return };
    let message = [b"kho register 1\0".as_slice(), bytes].concat();
    let signature: Signature = WORLD.centre.sign(&message).expect("the system has randomness");
    let signed = SignedRegister { bytes: Blob(bytes.to_vec()), signature };
    let verified = signed.verify(&WORLD.centre.public_key(), TREE);
    assert_eq!(verified.is_ok(), register.check().is_ok() && register.tree == TREE, "what is whole and of the tree is taken");
    let Ok(verified) = verified else { return };
    assert_eq!((verified.register(), verified.tree()), (&register, TREE));
    let mut sites = BTreeSet::new();
    for entry in &register.sites {
        assert!(sites.insert(entry.site), "a whole register names each site once");
        assert!(verified.subtree(entry.site).len() <= register.sites.len());
        assert!(!verified.is_parent_of(entry.site, entry.site), "nobody is its own parent");
        for parent in &entry.parents {
            let above = register.sites.iter().find(|site| site.site == *parent);
            assert!(above.is_some_and(|above| above.tier > entry.tier), "a parent is there and of a higher tier");
        }
        assert!(verified.active_parent(entry.site).is_none_or(|parent| verified.is_parent_of(parent, entry.site)));
    }
    for origin in &register.origins {
        assert_eq!(verified.author(origin.origin), Some(origin.author));
        assert!(sites.contains(&origin.author));
    }
    let again = SignedRegister::issue(&register, &WORLD.centre).expect("a verified register is whole");
    assert_eq!(again.bytes.0, codec::encode(&register).expect("it was read"));
}

/// Bodies of requests: a register to apply, a site to create, a node to add.
pub fn request_json(bytes: &[u8]) {
    let Some((what, body)) = choice(bytes) else { return };
    match what % 4 {
        0 => drop(decoded_json::<SiteInit>(body)),
        1 => drop(decoded_json::<NodePlace>(body)),
        2 => drop(decoded_json::<Register>(body)),
        _ => {
            if let Some(signed) = decoded_json::<SignedRegister>(body) {
                assert!(signed.verify(&WORLD.centre.public_key(), TREE).is_err(), "nobody guesses the centre's signature");
            }
        }
    }
}
