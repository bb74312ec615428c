//! What stands in the data is in status, after a restart too.

use std::sync::Arc;

use kho_storage::{
    command::{Command, DivergedPlace, EvidenceReview, Outcome, ShownBy},
    db::DbLimits,
    ids::{Hash32, OriginId, SiteId, StreamSeq},
    level::SUPPORTED,
    register::{Register, RootSet, SignedRegister},
    schema::population,
    signature::{SignatureAlgorithm, SigningKey},
    stream::Head,
    warehouse::{OriginProof, WarehouseConfig},
};

use super::*;
use crate::answer::tests::{
    people::{Person, people},
    world::{CENTRE, NOW, World, ago, apply},
};

const ALTERED: u32 = 12;
const STOPPED: u32 = 13;
const UNPROVED: u32 = 11;

fn world() -> World {
    let mut world = World::new(&[(UNPROVED, "001"), (ALTERED, "002"), (STOPPED, "003")].map(|(site, code)| (site, ("legacy-63", code))));
    for site in [UNPROVED, ALTERED, STOPPED] {
        write(&mut world, site, 0);
        world.carry(site, ago(9));
    }
    world
}

fn write(world: &mut World, site: u32, number: u64) {
    let people = people(&format!("{site}-{number}-"), &["00001"], 1);
    world.write(site, ago(9), people.iter().map(Person::change).collect());
}

fn proof(world: &World, origin: u32) -> OriginProof {
    world.warehouse(CENTRE).recompute(OriginId(origin), &mut |_, _| {}).expect("the disk is well").expect("it is held")
}

fn standing(world: &World, data_dir: &Path) -> Vec<Finding> {
    standing_at(world, CENTRE, data_dir)
}

fn standing_at(world: &World, site: u32, data_dir: &Path) -> Vec<Finding> {
    let failed_proofs = FailedProofs::open(data_dir).expect("readable");
    world
        .warehouse(site)
        .read(|reading| findings(reading, &BTreeSet::from([(NodeId(2), 22)]), &failed_proofs, data_dir, NOW))
        .expect("the disk is well")
}

/// A stopped origin, a failed proof, evidence in the state and refused bytes as a file.
#[test]
fn what_stands_is_in_status_after_a_restart_and_no_honest_head_clears_it() {
    let mut world = world();
    let data = tempfile::tempdir().expect("a directory");
    assert_eq!(standing(&world, data.path()), []);

    let stops = world.carry_altered(STOPPED, ago(3), |head| head.rows += 1);
    assert!(matches!(stops, Outcome::Refused(_)), "{stops:?}");
    write(&mut world, ALTERED, 1);
    let altered = world.carry_altered(ALTERED, ago(3), |head| head.chain = Hash32([7; 32]));
    assert!(matches!(altered, Outcome::Refused(_)), "{altered:?}");
    let whole = proof(&world, UNPROVED);
    let broken = OriginProof { digest: Hash32([7; 32]), ..whole.clone() };
    FailedProofs::open(data.path()).expect("readable").note(OriginId(UNPROVED), Some(&broken), NOW).expect("written");
    let folder = data.path().join(REFUSED_BYTES_FOLDER);
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("a.zst"), [0; 10]).expect("a file");

    let found = standing(&world, data.path());
    let codes = |found: &[Finding]| -> Vec<&'static str> { found.iter().map(kho_messages::Reportable::code).collect() };
    let all = ["origin_stopped", "proof_failed", "evidence_kept", "evidence_kept", "refused_bytes_kept"];
    assert_eq!(codes(&found), all, "{found:?}");
    assert!(matches!(found[0], Finding::OriginStopped { origin: STOPPED, .. }), "{found:?}");
    assert!(matches!(found[1], Finding::ProofFailed { origin: UNPROVED, .. }), "{found:?}");
    assert_eq!(found[2], Finding::EvidenceKept { origin: ALTERED, pieces: 1, first_seq: 2 });

    // Honest heads of every origin that still takes some, and a restart.
    for site in [UNPROVED, ALTERED] {
        write(&mut world, site, 2);
        world.carry(site, ago(1));
    }
    world.restart(CENTRE);
    assert_eq!(standing(&world, data.path()), found);

    // Each ends as an operator ends it.
    let resumed = apply(world.warehouse(CENTRE), &Command::ResumeOrigin { origin: OriginId(STOPPED) });
    assert_eq!(resumed, Outcome::Recorded);
    FailedProofs::open(data.path()).expect("readable").note(OriginId(UNPROVED), Some(&whole), NOW).expect("written");
    std::fs::remove_file(folder.join("a.zst")).expect("removed");
    assert_eq!(codes(&standing(&world, data.path())), ["evidence_kept", "evidence_kept"]);
}

#[test]
fn evidence_that_was_reviewed_stays_without_making_a_node_unhealthy_and_newer_evidence_is_told_again() {
    let mut world = world();
    let data = tempfile::tempdir().expect("a directory");
    let alter = |world: &mut World, chain| {
        let refused = world.carry_altered(ALTERED, ago(3), |head| head.chain = Hash32([chain; 32]));
        assert!(matches!(refused, Outcome::Refused(_)), "{refused:?}");
    };
    write(&mut world, ALTERED, 1);
    alter(&mut world, 7);
    let kept = world.warehouse(CENTRE).read(|reading| reading.evidence_places()).expect("the disk is well");
    let pieces = kept.iter().map(|(_, seq, hash)| (*seq, *hash)).collect();
    let mut named = Vec::new();
    world.warehouse(CENTRE).read(|reading| reading.evidence(|evidence| named.push(evidence.name()))).expect("the disk is well");
    assert_eq!(named.into_iter().collect::<Result<Vec<_>, _>>().expect("it is encoded"), pieces, "a piece knows its name");
    let review = EvidenceReview { reviewed_at: ago(2), by: "kho://test/operator/lan".into(), reason: "a failed disk".into(), pieces };
    let order = Command::ReviewEvidence { origin: OriginId(ALTERED), review };
    assert_eq!(apply(world.warehouse(CENTRE), &order), Outcome::Recorded);
    let (by, reviewed_at) = ("kho://test/operator/lan".to_string(), ago(2).to_rfc3339());
    let reviewed = Finding::EvidenceReviewed { origin: ALTERED, pieces: 1, by, reviewed_at };
    assert_eq!(standing(&world, data.path()), std::slice::from_ref(&reviewed));
    assert_eq!(reviewed.severity(), crate::api::Severity::Notice);
    world.restart(CENTRE);
    assert_eq!(standing(&world, data.path()), std::slice::from_ref(&reviewed));
    assert_eq!(world.warehouse(CENTRE).read(|reading| reading.evidence_places()).expect("the disk is well"), kept, "nothing is removed");

    alter(&mut world, 8);
    assert_eq!(standing(&world, data.path()), [Finding::EvidenceKept { origin: ALTERED, pieces: 1, first_seq: 2 }, reviewed]);
}

#[test]
fn promise_9_a_watermark_of_the_future_is_in_status_until_that_time_has_come() {
    let mut world = world();
    let data = tempfile::tempdir().expect("a directory");
    let failed_proofs = FailedProofs::open(data.path()).expect("readable");
    let at = |world: &World, now| {
        world
            .warehouse(CENTRE)
            .read(|reading| findings(reading, &BTreeSet::new(), &failed_proofs, data.path(), now))
            .expect("the disk is well")
    };
    assert_eq!(at(&world, ago(9)), []);
    let up_to = ago(9).to_rfc3339();
    let ahead = [UNPROVED, ALTERED, STOPPED].map(|origin| Finding::WatermarkAhead { origin, up_to: up_to.clone() });
    assert_eq!(at(&world, ago(10)), ahead, "this node's clock was set back");
    world.restart(CENTRE);
    assert_eq!(at(&world, ago(10)), ahead);
    // An operator says which time it is.
    assert_eq!(apply(world.warehouse(CENTRE), &Command::ConfirmTime { site_time: ago(10) }), Outcome::Recorded);
    assert_eq!(at(&world, ago(10)), []);
}

#[test]
fn promise_5_a_node_that_diverged_is_in_status_after_a_restart_until_it_is_removed() {
    let mut world = world();
    let data = tempfile::tempdir().expect("a directory");
    let place = DivergedPlace::Stream { origin: OriginId(UNPROVED), seq: StreamSeq(1) };
    for (node, disk) in [(2, 22), (9, 99)] {
        apply(world.warehouse(UNPROVED), &Command::NoteDiverged { site_time: NOW, node: NodeId(node), disk, place });
    }
    world.restart(UNPROVED);
    let found = standing_at(&world, UNPROVED, data.path());
    assert_eq!(found, [Finding::NodeDiverged { node: 2, place: reasons::diverged_place(place) }], "node 9 is no member any more");
    assert_eq!(found[0].severity(), crate::api::Severity::Critical, "so no node of the site reads healthy");
}

/// A site that was set back, and a node of it that was.
#[test]
fn what_came_back_older_is_in_status_after_a_restart_and_no_honest_head_clears_it() {
    let mut world = world();
    let data = tempfile::tempdir().expect("a directory");
    let held = world.commit_head(UNPROVED, ago(8));
    let further = Head { seq: StreamSeq(held.seq.0 + 5), ..held };
    let signed = world.sign(UNPROVED, further);
    let shown_by = ShownBy::Site(SiteId(CENTRE));
    assert_eq!(apply(world.warehouse(UNPROVED), &Command::NoteSetBack { site_time: NOW, shown_by, signed }), Outcome::Recorded);
    for (node, disk) in [(2, 22), (9, 99)] {
        apply(world.warehouse(UNPROVED), &Command::NoteTurnedBack { site_time: NOW, node: NodeId(node), disk });
    }
    let found = standing_at(&world, UNPROVED, data.path());
    assert!(matches!(found[0], Finding::SiteSetBack { origin: UNPROVED, shown_seq: 6, seq: 1, .. }), "{found:?}");
    assert_eq!(found[1..], [Finding::NodeTurnedBack { node: 2 }], "node 9 is no member any more");
    world.commit_head(UNPROVED, ago(1));
    world.restart(UNPROVED);
    assert_eq!(standing_at(&world, UNPROVED, data.path()), found);
}

#[test]
fn a_node_whose_configuration_pins_a_retired_key_says_so_and_goes_by_its_site_s_state() {
    let key = || SigningKey::generate(SignatureAlgorithm::default()).expect("system randomness");
    let (first, second) = (key(), key());
    let (data, set) =
        (tempfile::tempdir().expect("a directory"), |key: &SigningKey| RootSet { threshold: 1, keys: vec![key.public_key()] });
    let warehouse = Warehouse::open(
        data.path(),
        WarehouseConfig {
            tree: "test".into(),
            site: SiteId(CENTRE),
            register_key: first.public_key(),
            schema: Arc::new(population().clone()),
            limits: DbLimits { cache_bytes_max: 4 << 20, write_buffer_bytes_max: 8 << 20 },
            levels: SUPPORTED,
        },
    )
    .expect("a fresh directory");
    let adopt = |version: u64, roots: Vec<RootSet>, signer: &SigningKey| {
        let (requires, sites, origins, revoked_identities) = (vec![], vec![], vec![], vec![]);
        let register = Register { tree: "test".into(), version, requires, roots, sites, origins, revoked_identities };
        let signed = SignedRegister::issue(&register, signer).expect("whole");
        let adopted = apply(&warehouse, &Command::AdoptRegister { site_time: NOW, pinned: first.public_key(), signed });
        assert_eq!(adopted, Outcome::RegisterAdopted { version });
    };
    assert_eq!(pinned_key(&warehouse), None, "it has no register yet");
    adopt(1, vec![], &first);
    adopt(2, vec![set(&first), set(&second)], &first);
    assert_eq!(pinned_key(&warehouse), None, "it still may sign");
    adopt(3, vec![set(&second)], &second);
    let (pinned, trusted) = (first.public_key().to_hex(), second.public_key().to_hex());
    assert_eq!(pinned_key(&warehouse), Some(Finding::PinnedKeyRetired { pinned, trusted }));
}
