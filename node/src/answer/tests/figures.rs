//! Events and rates against numbers worked out by hand.

use kho_storage::schema::population;

use super::{
    people::{Person, event, people},
    world::{CENTRE, NOW, World, ago},
};
use crate::answer::{IndicatorQuery, indicator_list, indicators};

/// One district of a hundred permanent residents: 25 aged 10, 60 aged 30 (women, married), 15 aged 70.
fn world() -> World {
    let mut world = World::new(&[(11, ("legacy-63", "001"))]);
    let mut residents = people("p", &["00001"], 100);
    for (number, person) in residents.iter_mut().enumerate() {
        (person.birth, person.sex, person.marital) = match number {
            0..25 => (Some((2009, 1)), "male", "single"),
            25..85 => (Some((1989, 1)), "female", "married"),
            _ => (Some((1949, 1)), "male", "married"),
        };
        person.residence = "permanent";
    }
    world.write(11, ago(2), residents.iter().map(Person::change).collect());
    let birth = |id: &str, date: &str, sex: &'static str, order: &'static str, mother: &'static str| {
        event(id, "birth", date, "00001", &[("sex", sex), ("birth_order", order), ("mother_birth_date", mother)])
    };
    world.write(
        11,
        ago(1),
        vec![
            birth("b1", "2018-04-10", "male", "1", "1999-06-01"),
            birth("b2", "2018-04-20", "male", "3", "1988-06-01"),
            birth("b3", "2018-11-20", "female", "2", "1988-06-01"),
            birth("b4", "2018-12", "male", "20", ""),
            birth("b5", "2017", "female", "", ""),
            event("d1", "death", "2018-05-01", "00001", &[]),
            event("d2", "death", "2019-01-05", "00001", &[]),
            event("i1", "in_migration", "2018-06-01", "00004", &[]),
            event("i2", "in_migration", "2019-02-01", "00004", &[]),
            event("o1", "out_migration", "2019-03-01", "00004", &[]),
        ],
    );
    world.carry(11, NOW);
    world
}

fn total(world: &World, name: &str, parameters: &[(&str, &str)]) -> Vec<Option<f64>> {
    let answer = world.ask(CENTRE, name, parameters).expect("a good question");
    assert_eq!(answer.values.len(), answer.rows[0].values.len());
    answer.rows.last().expect("a total").values.clone()
}

#[test]
fn events_are_counted_by_type_and_period() {
    let world = world();
    let group = |texts: &[&str]| texts.iter().map(std::string::ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        world.table("events", &[("by", "type")]),
        [
            (group(&["birth"]), 5.0),
            (group(&["death"]), 2.0),
            (group(&["in_migration"]), 2.0),
            (group(&["out_migration"]), 1.0),
            (group(&["total"]), 10.0)
        ]
    );
    assert_eq!(
        world.table("births", &[("by", "month,sex"), ("to", "2018-11")]),
        [
            (group(&["2017", "female"]), 1.0),
            (group(&["2018-04", "male"]), 2.0),
            (group(&["2018-11", "female"]), 1.0),
            (group(&["total", ""]), 4.0)
        ]
    );
    assert_eq!(
        world.table("births", &[("by", "quarter"), ("from", "2018")]),
        [(group(&["2018-Q2"]), 2.0), (group(&["2018-Q4"]), 2.0), (group(&["total"]), 4.0)]
    );
    assert_eq!(world.table("births", &[("by", "year")]), [(group(&["2017"]), 1.0), (group(&["2018"]), 4.0), (group(&["total"]), 5.0)]);
    assert_eq!(
        world.table("births", &[("by", "birth_order")]),
        [("1", 1.0), ("2", 1.0), ("3", 1.0), ("15+", 1.0), ("unknown", 1.0), ("total", 5.0)].map(|(text, value)| (group(&[text]), value))
    );
    assert_eq!(
        world.table("births", &[("by", "mother_age_group")]),
        [("15-19", 1.0), ("25-29", 1.0), ("30-34", 1.0), ("unknown", 2.0), ("total", 5.0)].map(|(text, value)| (group(&[text]), value))
    );
    assert_eq!(world.table("deaths", &[("from", "2019-01"), ("to", "2019-01")]), [(vec![], 1.0)]);
    assert_eq!(world.table("births", &[("from", "2017-07"), ("to", "2017-07")]), [(vec![], 1.0)], "an unknown month counts as July");
    assert_eq!(world.table("births", &[("from", "2020")]), [(vec![], 0.0)]);
}

#[test]
fn rates_follow_the_circular() {
    let world = world();
    let year = [("from", "2018-04"), ("to", "2019-03")];
    // A hundred now; since the middle (2018-10 on) came 2 births and 1 arrival and went 1 death and 1 departure.
    let middle = 99.0;
    assert_eq!(total(&world, "crude_birth_rate", &year), [Some(4.0), Some(middle), Some(4.0 / middle * 1000.0)]);
    assert_eq!(
        total(&world, "crude_birth_rate", &[]),
        total(&world, "crude_birth_rate", &year),
        "the last twelve months when nothing else is asked"
    );
    assert_eq!(total(&world, "crude_death_rate", &year), [Some(2.0), Some(middle), Some(2.0 / middle * 1000.0)]);
    assert_eq!(total(&world, "natural_increase", &year), [Some(4.0), Some(2.0), Some(2.0), Some(middle), Some(2.0 / middle * 1000.0)]);
    assert_eq!(total(&world, "net_migration_rate", &year), [Some(2.0), Some(1.0), Some(middle), Some(1.0 / middle * 1000.0)]);
    assert_eq!(total(&world, "net_migration", &[]), [Some(2.0), Some(1.0), Some(1.0)]);
    // Two births in a month of 2018-04: a rate of a year all the same. Since then 2 births, 2 arrivals, 2 deaths, 1 departure.
    assert_eq!(
        total(&world, "crude_birth_rate", &[("from", "2018-04"), ("to", "2018-04")]),
        [Some(2.0), Some(99.0), Some(2.0 / 99.0 / (1.0 / 12.0) * 1000.0)]
    );
    assert_eq!(total(&world, "sex_ratio_at_birth", &year), [Some(3.0), Some(1.0), Some(300.0)]);
    assert_eq!(total(&world, "third_and_later_births_share", &[]), [Some(5.0), Some(2.0), Some(2.0 / 5.0 * 100.0)]);
    assert_eq!(total(&world, "ageing_index", &[("at", "2019-04-01")]), [Some(15.0), Some(25.0), Some(15.0 / 25.0 * 100.0)]);
    assert_eq!(total(&world, "dependency_ratio", &[]), [Some(40.0), Some(60.0), Some(40.0 / 60.0 * 100.0)]);
    assert_eq!(total(&world, "married_women_15_49", &[]), [Some(60.0)]);
    assert_eq!(total(&world, "married_women_15_49", &[("at", "2039-01")]), [Some(0.0)], "at fifty they count no more");
}

#[test]
fn a_rate_over_nobody_is_absent() {
    let world = world();
    assert_eq!(total(&world, "sex_ratio_at_birth", &[("from", "2018-04"), ("to", "2018-04")]), [Some(2.0), Some(0.0), None]);
    assert_eq!(total(&world, "crude_birth_rate", &[("area", "75")]), [Some(0.0), Some(0.0), None]);
}

#[test]
fn a_table_says_of_where_and_when_it_is() {
    let world = world();
    let answer = world.ask(CENTRE, "births", &[("area", "001"), ("from", "2018-04"), ("to", "2018-12")]).expect("a good question");
    assert_eq!(answer.label, "Births · Số trẻ sinh ra; Quận Ba Đình (001, legacy-63); 2018-04 to 2018-12");
    assert_eq!(answer.at, None);
    let answer = world.ask(CENTRE, "population", &[("by", "age_group"), ("level", "province")]).expect("a good question");
    assert_eq!((answer.by, answer.at.as_deref()), (vec!["area".into(), "area_name".into(), "age_group".into()], Some("2019-04-01")));
    assert!(answer.label.contains("without those registered as absent"));
}

#[test]
fn every_indicator_answers_with_every_dimension_it_offers() {
    let world = world();
    for indicator in indicators() {
        let by: Vec<_> = indicator.groupings.iter().map(|grouping| grouping.name()).collect();
        let answer = world.ask(CENTRE, indicator.name, &[("by", &by.join(",")), ("level", "commune")]).expect("its own dimensions");
        assert!(
            answer.rows.iter().all(|row| row.group.len() == answer.by.len() && row.values.len() == answer.values.len()),
            "{}",
            indicator.name
        );
        assert!(IndicatorQuery::parse(indicator.name, &Default::default(), NOW).is_ok());
    }
    let names: std::collections::BTreeSet<_> = indicator_list().into_iter().map(|info| info.name).collect();
    assert_eq!(names.len(), indicators().len(), "no name stands twice");
    assert_eq!(population().cubes.len(), 3, "a new cube may want indicators");
}
