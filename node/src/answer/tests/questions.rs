//! Bad questions get a clear answer.

use kho_messages::{Lang, Reportable as _};

use super::world::{CENTRE, World};

/// Indicator, parameters, the refusal's word, and what its hint must name.
type Bad = (&'static str, &'static [(&'static str, &'static str)], &'static str, &'static str);

#[rustfmt::skip]
const BAD: &[Bad] = &[
    ("populaton", &[], "unknown_indicator", "population, population_registered"),
    ("population", &[("sex", "male")], "unknown_parameter", "area, catalogue, level"),
    ("population", &[("by", "age")], "unknown_dimension", "sex, age_group, marital, residence_status"),
    ("population", &[("by", "sex,month")], "unknown_dimension", "sex, age_group"),
    ("population", &[("by", "sex, sex")], "repeated_dimension", "once"),
    ("crude_birth_rate", &[("by", "sex")], "unknown_dimension", "level"),
    ("population", &[("level", "village")], "unknown_level", "commune, district, province, region, country"),
    ("population", &[("catalogue", "2025-34"), ("level", "district")], "unknown_level", "commune, province, country"),
    ("population", &[("area", "01"), ("level", "region")], "level_too_coarse", "level=province"),
    ("population", &[("catalogue", "2019")], "unknown_catalogue", "legacy-63, 2025-34"),
    ("population", &[("area", "Hà Nội")], "wrong_area", "2 digits"),
    ("population", &[("area", "0١")], "wrong_area", "2 digits"),
    ("population", &[("area", "99")], "unknown_area", "catalogue=2025-34"),
    ("population", &[("area", "R7")], "unknown_area", "region"),
    ("population", &[("at", "yesterday")], "wrong_date", "YYYY-MM-DD"),
    ("births", &[("at", "2019-04-01")], "not_applicable", "leave `at` out"),
    ("population", &[("from", "2019-01")], "not_applicable", "leave them out"),
    ("births", &[("from", "2019-13")], "wrong_month", "from=YYYY-MM"),
    ("births", &[("to", "2019-01-31")], "wrong_month", "to=YYYY-MM"),
    ("births", &[("from", "2019-05"), ("to", "2019-04")], "empty_period", "exchange"),
    ("crude_birth_rate", &[("from", "2019-01")], "open_period", "to=YYYY-MM"),
];

#[test]
fn promise_10_a_bad_question_names_the_valid_choices() {
    let world = World::new(&[(11, ("legacy-63", "001"))]);
    for (indicator, parameters, code, hint) in BAD {
        let bad = world.ask(CENTRE, indicator, parameters).expect_err(code);
        assert_eq!(bad.code(), *code, "{indicator} {parameters:?}: {bad:?}");
        assert!(kho_messages::hint(Lang::En, &bad).contains(hint), "{indicator} {parameters:?}: {bad:?}");
        assert!(!kho_messages::report(Lang::En, &bad).is_empty());
    }
    for (table, key, code) in [("people", "1", "unknown_table"), ("person", "", "wrong_key"), ("person", &"x".repeat(129), "wrong_key")] {
        assert_eq!(world.row(CENTRE, table, key).expect_err(code).code(), code);
    }
}

#[test]
fn an_empty_parameter_and_spaces_change_nothing() {
    let world = World::new(&[(11, ("legacy-63", "001"))]);
    let plain = world.ask(CENTRE, "population", &[("by", "sex,age_group")]).expect("good");
    assert_eq!(
        world.ask(CENTRE, "population", &[("by", " sex , age_group "), ("area", ""), ("level", " "), ("read", "local")]).expect("good"),
        plain
    );
}
