//! Tables of persons against counting by hand.

use std::collections::BTreeMap;

use super::{
    people::{Person, count_by, people},
    world::{NOW, World, ago, put, take},
};

/// Two districts of Hà Nội and one of Đồng Nai.
fn world() -> World {
    World::new(&[(11, ("legacy-63", "001")), (12, ("legacy-63", "002")), (13, ("legacy-63", "731"))])
}

/// Writes people at their districts and carries them to the centre.
fn settled() -> (World, Vec<Person>) {
    let mut world = world();
    let mut all = Vec::new();
    for (site, prefix, communes) in [(11, "a", ["00001", "00004"]), (12, "b", ["00037", "00040"]), (13, "c", ["25993", "25996"])] {
        let here = people(prefix, &communes, 400);
        for part in here.chunks(150) {
            world.write(site, ago(1), part.iter().map(Person::change).collect());
        }
        world.carry(site, NOW);
        all.extend(here);
    }
    (world, all)
}

/// The table without its total, which is checked to be the sum.
fn without_total(mut table: Vec<(Vec<String>, f64)>) -> Vec<(Vec<String>, f64)> {
    let (group, total) = table.pop().expect("a total");
    assert_eq!(group.first().map(String::as_str), Some("total"));
    assert!((table.iter().map(|(_, value)| value).sum::<f64>() - total).abs() < 1e-9, "the total is the sum");
    table
}

fn counted(table: Vec<(Vec<String>, f64)>) -> BTreeMap<Vec<String>, f64> {
    without_total(table).into_iter().collect()
}

#[test]
fn a_table_by_sex_and_age_group_equals_a_count_of_the_rows() {
    let (world, people) = settled();
    let present = || people.iter().filter(|person| person.residence != "absent");
    let sex_and_age = |person: &Person| vec![person.sex.into(), person.age_group()];
    assert_eq!(counted(world.table("population", &[("by", "sex,age_group"), ("at", "2019-04-01")])), count_by(present(), sex_and_age));
    assert_eq!(
        counted(world.table("population_registered", &[("by", "sex,age_group")])),
        count_by(&people, sex_and_age),
        "ages count today when no date is given"
    );
    let statuses =
        |person: &Person| vec![if person.marital.is_empty() { "unknown" } else { person.marital }.to_string(), person.residence.into()];
    assert_eq!(counted(world.table("population_registered", &[("by", "marital,residence_status")])), count_by(&people, statuses));
}

#[test]
fn groups_stand_in_their_natural_order() {
    let (world, _) = settled();
    let ages: Vec<String> =
        without_total(world.table("population", &[("by", "age_group")])).into_iter().map(|(group, _)| group[0].clone()).collect();
    let mut expected: Vec<String> = (0..20).map(|group| format!("{}-{}", group * 5, group * 5 + 4)).collect();
    expected.extend(["100+", "born_later", "unknown"].map(String::from));
    assert_eq!(ages, expected);
    let sexes: Vec<String> =
        without_total(world.table("population", &[("by", "sex")])).into_iter().map(|(group, _)| group[0].clone()).collect();
    assert_eq!(sexes, ["male", "female"], "codes in the order of their list");
}

#[test]
fn roll_ups_add_up_at_every_level() {
    let (world, people) = settled();
    let count = |chosen: &dyn Fn(&&Person) -> bool| people.iter().filter(chosen).count() as f64;
    let whole = people.len() as f64;
    let hanoi = count(&|person| !person.id.starts_with('c'));
    let shown = |level: &str| without_total(world.table("population_registered", &[("level", level)]));
    let named = |code: &str, name: &str, value: f64| (vec![code.to_string(), name.to_string()], value);
    assert_eq!(shown("country"), [named("VN", "Việt Nam", whole)]);
    assert_eq!(shown("region"), [named("R2", "Red River Delta", hanoi), named("R5", "Southeast", whole - hanoi)]);
    assert_eq!(shown("province"), [named("01", "Thành phố Hà Nội", hanoi), named("75", "Tỉnh Đồng Nai", whole - hanoi)]);
    assert_eq!(shown("district").len(), 3);
    let communes = shown("commune");
    assert_eq!(
        communes.iter().map(|(group, _)| group[0].as_str()).collect::<Vec<_>>(),
        ["00001", "00004", "00037", "00040", "25993", "25996"]
    );
    for (group, value) in communes {
        assert_eq!(value, count(&|person| person.commune == group[0]));
        assert_eq!(world.table("population_registered", &[("area", &group[0])]), [(vec![], value)]);
    }
    assert_eq!(world.table("population_registered", &[("area", "001")]), [(vec![], 400.0)]);
    assert_eq!(world.table("population_registered", &[("area", "01")]), [(vec![], hanoi)]);
    assert_eq!(world.table("population_registered", &[("area", "R5")]), [(vec![], whole - hanoi)]);
    assert_eq!(without_total(world.table("population_registered", &[("area", "01"), ("level", "district")])).len(), 2);
}

#[test]
fn somebody_who_moves_or_leaves_counts_where_they_are_now() {
    let (mut world, mut people) = settled();
    let before = world.table("population_registered", &[("area", "00001")])[0].1;
    let moving = people.iter_mut().find(|person| person.commune == "00001").expect("somebody lives there");
    moving.commune = "00004";
    moving.sex = if moving.sex == "male" { "female" } else { "male" };
    let leaving = people.iter().position(|person| person.commune == "00001").expect("somebody lives there");
    let left = people.remove(leaving);
    let moved = people.iter().find(|person| person.id.starts_with('a') && person.commune == "00004").expect("there is one").clone();
    world.write(
        11,
        NOW,
        people.iter().filter(|person| person.id.starts_with('a')).map(Person::change).chain([take("person", &left.id)]).collect(),
    );
    assert_eq!(world.table("population_registered", &[("area", "00001")])[0].1, before, "the centre still stands where it stood");
    world.carry(11, NOW);
    assert_eq!(world.table("population_registered", &[("area", "00001")])[0].1, before - 2.0);
    let commune_and_sex = |person: &Person| vec![person.commune.to_string(), person.sex.to_string()];
    let table = counted(world.table("population_registered", &[("level", "commune"), ("by", "sex")]));
    let table: BTreeMap<_, _> = table.into_iter().map(|(group, value)| (vec![group[0].clone(), group[2].clone()], value)).collect();
    assert_eq!(table, count_by(&people, commune_and_sex));
    assert!(table.contains_key(&vec![moved.commune.to_string(), moved.sex.to_string()]));
}

#[test]
fn a_row_of_another_catalogue_counts_in_the_country_and_nowhere_else() {
    let mut world = World::new(&[(11, ("legacy-63", "001")), (12, ("2025-34", "01"))]);
    let mut people = people("a", &["00004"], 3);
    // Commune 00004 exists in both catalogues, with another extent.
    people[2].catalogue = "2025-34";
    world.write(11, ago(1), people[..2].iter().map(Person::change).collect());
    world.write(12, ago(1), people[2..].iter().map(Person::change).collect());
    world.carry(11, NOW);
    world.carry(12, NOW);
    let total = |parameters: &[(&str, &str)]| world.table("population_registered", parameters).last().expect("a total").1;
    assert_eq!(total(&[]), 3.0);
    assert_eq!(total(&[("area", "00004")]), 2.0, "two catalogues in use: the one with all levels is meant");
    assert_eq!(total(&[("area", "00004"), ("catalogue", "2025-34")]), 1.0);
    let levelled = world.table("population_registered", &[("level", "province")]);
    assert_eq!(levelled[1], (vec!["elsewhere".into(), "not in the catalogue legacy-63".into()], 1.0));
    assert_eq!(total(&[("level", "province")]), 3.0);
}

#[test]
fn households_are_counted_by_type() {
    let mut world = world();
    let household = |id: &str, kind: &str| {
        put(
            "household",
            &[
                ("household_id", id.into()),
                ("household_type", kind.into()),
                ("commune_code", "00001".into()),
                ("catalogue_version", "legacy-63".into()),
            ],
        )
    };
    world.write(11, ago(1), vec![household("1", "family"), household("2", "collective"), household("3", "family")]);
    world.carry(11, NOW);
    let group = |text: &str| vec![text.to_string()];
    assert_eq!(
        world.table("households", &[("by", "household_type")]),
        [(group("family"), 2.0), (group("collective"), 1.0), (group("total"), 3.0)]
    );
}
