//! Whom a site believes about registers, and how that changes.

use super::*;
use crate::{
    level::SUPPORTED_IN_TESTS,
    register::{RegisterError, RootSet, Roots},
};

fn key() -> SigningKey {
    SigningKey::generate(SignatureAlgorithm::Ed25519).expect("system randomness")
}

fn set(threshold: usize, keys: &[&SigningKey]) -> RootSet {
    RootSet { threshold, keys: keys.iter().map(|key| key.public_key()).collect() }
}

/// A register of this version that names `roots`, signed by `signers`.
fn signed(version: u64, roots: Vec<RootSet>, signers: &[&SigningKey]) -> SignedRegister {
    let register =
        Register { tree: "test".into(), version, requires: vec![], roots, sites: vec![], origins: vec![], revoked_identities: vec![] };
    SignedRegister::sign(toml::to_string(&register).expect("a register is TOML"), signers).expect("whole")
}

impl Tree {
    fn empty(&self, name: &str) -> Node {
        Node { warehouse: Warehouse::open(&self.dir.path().join(name), self.config(2)).expect("a fresh directory"), applied: 0 }
    }

    fn adopt_register(&self, signed: SignedRegister) -> Command {
        Command::AdoptRegister { site_time: SiteTime(1), pinned: self.centre.public_key(), signed }
    }
}

fn stands(version: u64) -> Outcome {
    Outcome::RegisterAdopted { version }
}

fn is_untrusted(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused(Refusal::Register(why)) if why.contains("good signature"))
}

#[test]
fn a_register_needs_the_roots_that_the_one_before_it_named() {
    let (tree, second, third) = (Tree::new(), key(), key());
    let mut site = tree.empty("p");
    let mut adopt = |register: SignedRegister| site.apply(&tree.adopt_register(register));
    assert_eq!(adopt(signed(1, vec![], &[&tree.centre])), stands(1));
    assert!(is_untrusted(&adopt(signed(2, vec![], &[&second]))), "nobody named it yet");
    // Both may sign, then the new one alone, by which the last is signed.
    assert_eq!(adopt(signed(2, vec![set(1, &[&tree.centre]), set(1, &[&second])], &[&tree.centre])), stands(2));
    assert_eq!(adopt(signed(3, vec![], &[&tree.centre])), stands(3), "the old one still may");
    assert_eq!(adopt(signed(4, vec![set(1, &[&second])], &[&second])), stands(4));
    assert!(is_untrusted(&adopt(signed(5, vec![], &[&tree.centre]))), "a retired root");
    assert_eq!(adopt(signed(5, vec![], &[&second])), stands(5), "none named: the roots stay");
    assert!(is_untrusted(&adopt(signed(6, vec![set(1, &[&third])], &[&third]))), "nobody names himself");
    drop(site);
    let site = Warehouse::open(&tree.dir.path().join("p"), tree.config(2)).expect("the register is verified by the roots of then");
    assert_eq!(site.register().map(|register| register.version()), Some(5));
    assert_eq!(site.trusted_roots().expect("some").next, Roots(vec![set(1, &[&second])]));
}

#[test]
fn so_many_keys_of_a_set_have_to_sign_and_a_lost_one_is_replaced_by_the_others() {
    let (tree, keys, spare) = (Tree::new(), [key(), key(), key()], key());
    let [one, two, lost] = &keys;
    let mut site = tree.empty("p");
    let mut adopt = |register: SignedRegister| site.apply(&tree.adopt_register(register));
    assert_eq!(adopt(signed(1, vec![set(2, &[one, two, lost])], &[&tree.centre])), stands(1));
    assert!(is_untrusted(&adopt(signed(2, vec![], &[one]))), "one of two");
    assert!(is_untrusted(&adopt(signed(2, vec![], &[&tree.centre, one]))), "the first key counts no more");
    let mut twice = signed(2, vec![], &[one]);
    twice.signatures.push(twice.signatures[0].clone());
    assert!(is_untrusted(&adopt(twice)), "the same key twice");
    let replacing = vec![set(2, &[one, two, &spare])];
    assert_eq!(adopt(signed(2, replacing, &[one, two])), stands(2));
    assert!(is_untrusted(&adopt(signed(3, vec![], &[two, lost]))), "the lost key was found by somebody");
    assert_eq!(adopt(signed(3, vec![], &[&spare, two])), stands(3));
}

#[test]
fn what_a_register_comes_to_depends_on_the_site_s_state_and_never_on_a_node_s_configuration() {
    let (tree, second, other) = (Tree::new(), key(), key());
    let node = |name: &str, pinned: &SigningKey| {
        let config = WarehouseConfig { register_key: pinned.public_key(), ..tree.config(2) };
        Node { warehouse: Warehouse::open(&tree.dir.path().join(name), config).expect("a fresh directory"), applied: 0 }
    };
    let mut nodes = [node("a", &tree.centre), node("b", &second), node("c", &other)];
    for register in [
        signed(1, vec![], &[&tree.centre]),
        signed(2, vec![], &[&other]),
        signed(2, vec![set(1, &[&tree.centre]), set(1, &[&second])], &[&tree.centre]),
        signed(3, vec![set(1, &[&second])], &[&second]),
        signed(4, vec![], &[&tree.centre]),
    ] {
        let [first, others @ ..] = &mut nodes;
        let outcome = first.apply(&tree.adopt_register(register.clone()));
        for node in others {
            assert_eq!(node.apply(&tree.adopt_register(register.clone())), outcome);
            assert_eq!(node.warehouse.register(), first.warehouse.register());
            assert_eq!(node.warehouse.trusted_roots(), first.warehouse.trusted_roots());
        }
    }
    assert_eq!(nodes[0].warehouse.register().map(|register| register.version()), Some(3));
}

#[test]
fn a_site_that_was_away_catches_up_by_what_is_handed_down_and_by_nothing_less() {
    let (tree, second, third) = (Tree::new(), key(), key());
    let (mut parent, mut child) = (tree.empty("p"), tree.empty("d"));
    let registers = [
        signed(1, vec![], &[&tree.centre]),
        signed(2, vec![set(1, &[&tree.centre]), set(1, &[&second])], &[&tree.centre]),
        signed(3, vec![set(1, &[&second])], &[&second]),
        signed(4, vec![], &[&second]),
        signed(5, vec![set(1, &[&second]), set(1, &[&third])], &[&second]),
        signed(6, vec![set(1, &[&third])], &[&third]),
        signed(7, vec![], &[&third]),
    ];
    for (version, register) in (1..).zip(&registers) {
        assert_eq!(parent.apply(&tree.adopt_register(register.clone())), stands(version));
    }
    child.apply(&tree.adopt_register(registers[0].clone()));
    assert!(matches!(child.warehouse.judge_register(&registers[6]), Err(RegisterError::Untrusted { .. })));
    let chain = parent.warehouse.register_chain().expect("a register stands");
    let handed_down: Vec<SignedRegister> = chain.newer_than(1).cloned().collect();
    assert_eq!(handed_down.len(), 5, "the fourth changed no roots");
    for register in &handed_down {
        assert!(matches!(child.apply(&tree.adopt_register(register.clone())), Outcome::RegisterAdopted { .. }));
    }
    assert_eq!(child.warehouse.register(), parent.warehouse.register());
    // One that comes late changes nothing, although nobody can verify it any more.
    assert_eq!(child.apply(&tree.adopt_register(registers[1].clone())), stands(7));
    assert_eq!(child.warehouse.register_chain(), parent.warehouse.register_chain(), "it hands them down itself");
}

#[test]
fn so_many_changes_of_the_roots_are_kept_and_the_newest_of_them() {
    let tree = Tree::new();
    let mut site = tree.empty("p");
    let mut signer = key();
    site.apply(&tree.adopt_register(signed(1, vec![set(1, &[&signer])], &[&tree.centre])));
    let newest = ROOT_CHANGES_MAX as u64 + 5;
    for version in 2..=newest {
        let next = key();
        assert_eq!(site.apply(&tree.adopt_register(signed(version, vec![set(1, &[&next])], &[&signer]))), stands(version));
        signer = next;
    }
    let chain = site.warehouse.register_chain().expect("a register stands");
    let kept: Vec<u64> = chain.changes().map(|(version, _)| version).collect();
    assert_eq!(kept, (newest - ROOT_CHANGES_MAX as u64 + 1..=newest).collect::<Vec<_>>());
}

#[test]
fn what_a_register_requires_is_judged_by_the_level_of_the_site_and_not_by_the_build() {
    let tree = Tree::new();
    let config = WarehouseConfig { levels: SUPPORTED_IN_TESTS, ..tree.config(2) };
    let mut site = Node { warehouse: Warehouse::open(&tree.dir.path().join("p"), config).expect("a fresh directory"), applied: 0 };
    let plain = signed(1, vec![], &[&tree.centre]);
    let text = plain.text.replace("version = 1", "version = 1\nrequires = [\"test_feature\"]");
    let requiring = tree.adopt_register(SignedRegister::sign(text, &[&tree.centre]).expect("this build knows it"));
    let refused = site.apply(&requiring);
    assert!(matches!(&refused, Outcome::Refused(Refusal::Register(why)) if why.contains("kho upgrade raise")), "{refused:?}");
    assert_eq!(site.warehouse.register(), None);
    site.apply(&Command::RaiseLevel { to: Level::TEST });
    assert_eq!(site.apply(&requiring), stands(1));
}

#[test]
fn another_register_of_the_version_that_stands_is_refused_and_both_hashes_are_named() {
    let (tree, second, foreign) = (Tree::new(), key(), key());
    let mut site = tree.empty("p");
    let first = signed(1, vec![], &[&tree.centre]);
    let changing = signed(2, vec![set(1, &[&second])], &[&tree.centre]);
    let other = |register: &SignedRegister, signer: &SigningKey| {
        SignedRegister::sign(format!("# Another.\n{}", register.text), &[signer]).expect("whole")
    };
    for (version, register) in [(1, &first), (2, &changing)] {
        assert_eq!(site.apply(&tree.adopt_register(register.clone())), stands(version));
        // The second time its signer is believed no more: a double shows by whom it is signed.
        let double = other(register, &tree.centre);
        let doubled = Refusal::RegisterDoubled { version, held: register.hash(), given: double.hash() };
        assert_eq!(site.apply(&tree.adopt_register(double)), Outcome::Refused(doubled));
        assert!(is_untrusted(&site.apply(&tree.adopt_register(other(register, &foreign)))), "anybody can write one");
        assert_eq!(site.apply(&tree.adopt_register(register.clone())), stands(version), "the same once more");
        assert_eq!(site.warehouse.signed_register().expect("reads").as_ref(), Some(register));
    }
}

#[test]
fn a_register_that_stands_already_is_not_read_and_verified_again() {
    let tree = Tree::new();
    let mut site = tree.empty("p");
    let (first, second) = (signed(1, vec![], &[&tree.centre]), signed(2, vec![], &[&tree.centre]));
    assert_eq!(site.apply(&tree.adopt_register(first.clone())), stands(1));
    assert_eq!(site.apply(&tree.adopt_register(second.clone())), stands(2));
    let held = site.warehouse.register().expect("it stands");
    for given in [second, first] {
        assert_eq!(site.apply(&tree.adopt_register(given)), stands(2));
        assert!(Arc::ptr_eq(&held, &site.warehouse.register().expect("it stands")), "it was read again");
    }
}
