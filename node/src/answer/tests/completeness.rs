//! Promise 9: an answer says what it rests on.

use kho_messages::{Lang, report};
use kho_storage::command::Outcome;

use super::{
    people::{Person, people},
    world::{CENTRE, NOW, World, ago},
};
use crate::api::{Completeness, MissingSite};

/// Six districts; each but the last wrote ten people.
fn world() -> World {
    let codes = [(11, "001"), (12, "002"), (13, "731"), (14, "003"), (15, "004"), (16, "005")];
    let mut world = World::new(&codes.map(|(site, code)| (site, ("legacy-63", code))));
    for (site, _) in &codes[..5] {
        let here = people(&format!("{site}-"), &["00001"], 10);
        world.write(*site, ago(9), here.iter().map(Person::change).collect());
    }
    world
}

fn rests_on(world: &World, parameters: &[(&str, &str)]) -> (Completeness, f64) {
    let answer = world.ask(CENTRE, "population_registered", parameters).expect("a good question");
    let total = answer.rows.last().and_then(|row| row.values[0]).expect("a total");
    (answer.completeness, total)
}

fn missing(completeness: &Completeness) -> Vec<(u32, String)> {
    completeness.missing.iter().map(|MissingSite { site, reason, .. }| (*site, report(Lang::En, reason))).collect()
}

#[test]
fn promise_9_an_answer_names_the_missing_and_the_oldest_site() {
    let world = world();
    world.carry(11, ago(1));
    world.carry(12, ago(5));
    world.carry(13, ago(1));
    let outcome = world.carry_altered(13, NOW, |head| head.rows += 1);
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    world.begin_transfer(14);
    world.carry_nothing(16, ago(2));

    let (completeness, total) = rests_on(&world, &[]);
    assert_eq!((completeness.included, completeness.expected), (2, 6));
    assert_eq!(total, 20.0, "what is not included is not counted");
    let oldest = completeness.oldest.as_ref().expect("there is one");
    assert_eq!((oldest.site, oldest.name.as_str(), oldest.age_seconds), (12, "district 12", 5 * 24 * 3600));
    assert_eq!(completeness.complete_up_to.as_deref(), Some(ago(5).to_rfc3339().as_str()));
    assert_eq!(oldest.up_to, ago(5).to_rfc3339());
    let missing = missing(&completeness);
    let says = |site: u32, what: &str| missing.iter().any(|(missing, why)| *missing == site && why.contains(what));
    assert_eq!(missing.len(), 4, "{missing:?}");
    assert!(says(13, "stopped") && says(13, "kho verify"), "{missing:?}");
    assert!(says(14, "transfer is under way"), "{missing:?}");
    assert!(says(15, "nothing of origin 15 has arrived"), "{missing:?}");
    assert!(says(16, "is empty up to"), "{missing:?}");
    assert_eq!((completeness.read.as_str(), completeness.applied, completeness.answered_by.as_str()), ("local", 7, "node 1 of site 1"));
}

#[test]
fn promise_9_a_head_that_is_withheld_shows_as_age_and_a_newer_one_mends_it() {
    let world = world();
    for site in 11..=15 {
        world.carry(site, ago(3));
    }
    world.carry(11, NOW);
    assert_eq!(rests_on(&world, &[]).0.oldest.map(|oldest| oldest.age_seconds), Some(3 * 24 * 3600));
    for site in 12..=15 {
        world.carry(site, NOW);
    }
    let (completeness, total) = rests_on(&world, &[]);
    assert_eq!(completeness.complete_up_to.as_deref(), Some(NOW.to_rfc3339().as_str()));
    assert_eq!((completeness.included, completeness.expected, total), (5, 6, 50.0));
}

#[test]
fn an_area_expects_only_the_sites_that_author_records_of_it() {
    let world = world();
    world.carry(11, NOW);
    let expected = |area: &str| rests_on(&world, &[("area", area)]).0;
    assert_eq!((expected("001").included, expected("001").expected), (1, 1));
    assert_eq!(
        (expected("00001").expected, expected("01").expected, expected("75").expected, expected("R2").expected, expected("VN").expected),
        (1, 5, 1, 5, 6)
    );
    assert_eq!(missing(&expected("731")).len(), 1);
}

#[test]
fn a_district_answers_for_itself_before_its_first_head() {
    let world = world();
    let answer = world.ask(11, "population_registered", &[]).expect("a good question");
    assert_eq!((answer.completeness.included, answer.completeness.expected), (1, 1));
    assert_eq!(answer.completeness.complete_up_to.as_deref(), Some(ago(9).to_rfc3339().as_str()));
    assert_eq!(answer.rows[0].values, [Some(10.0)]);
    let nothing = world.ask(16, "population_registered", &[]).expect("a good question");
    assert_eq!((nothing.completeness.included, nothing.completeness.complete_up_to.clone()), (0, None));
    assert_eq!(missing(&nothing.completeness), [(16, "nothing was entered under origin 16 yet".to_string())]);
}
