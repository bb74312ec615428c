//! Registers, and what stands in requests as JSON.

use std::collections::BTreeSet;

use kho_node::api::{NodePlace, SiteInit};
use kho_storage::register::{Register, SignedRegister};

use super::choice;
use crate::{
    survives::{decoded, decoded_json},
    world::{TREE, WORLD},
};

/// A register as it travels; and the same bytes as a text under the centre's own signature, so that what is signed is judged too.
pub fn register(bytes: &[u8]) {
    if let Some(signed) = decoded::<SignedRegister>(bytes) {
        assert!(signed.verify(&WORLD.centre.public_key(), TREE).is_err(), "nobody guesses the centre's signature");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(filed) = SignedRegister::from_file(text) {
        assert!(filed.text.is_empty() || text.starts_with(&filed.text), "a file's text is its beginning");
    }
    let mut signed = SignedRegister { text: text.into(), signatures: vec![] };
    let read = signed.unverified();
    signed.add_signature(&WORLD.centre).expect("the system has randomness");
    let verified = signed.verify(&WORLD.centre.public_key(), TREE);
    let whole = read.as_ref().is_ok_and(|register| register.check().is_ok() && register.tree == TREE);
    assert_eq!(verified.is_ok(), whole, "what is whole and of the tree is taken");
    let Ok(register) = read else { return };
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
    assert_eq!(again.unverified().expect("it was just written"), register);
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
