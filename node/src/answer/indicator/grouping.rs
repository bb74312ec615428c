//! Groupings: by what a table may be broken down, how a cube's cell tells its group, and what the group is called.

use kho_storage::schema::{PartialDate, Schema};

use super::period::MIDDLE_OF_YEAR;

/// The group of what is not known; the last of every grouping.
pub(super) const UNKNOWN: u16 = u16::MAX;
/// Age group of whoever was born after the reference date.
const BORN_LATER: u16 = 21;
/// The open age group: 100 and older.
const OLDEST_GROUP: u16 = 20;
/// Where the cube of events clips birth orders.
const BIRTH_ORDER_MAX: u16 = 15;

/// One way to break a table down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grouping {
    Sex,
    AgeGroup,
    Marital,
    ResidenceStatus,
    HouseholdType,
    Type,
    Month,
    Quarter,
    Year,
    BirthOrder,
    MotherAgeGroup,
}

/// Every grouping, to be found by name.
const GROUPINGS: [Grouping; 11] = [
    Grouping::Sex,
    Grouping::AgeGroup,
    Grouping::Marital,
    Grouping::ResidenceStatus,
    Grouping::HouseholdType,
    Grouping::Type,
    Grouping::Month,
    Grouping::Quarter,
    Grouping::Year,
    Grouping::BirthOrder,
    Grouping::MotherAgeGroup,
];

/// How old somebody is at the reference date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    Years(u16),
    BornLater,
    Unknown,
}

impl Age {
    /// Completed years at `at` of somebody born in a cube's month number, by the rule that this module's header gives.
    pub fn at(birth_month: u16, at: PartialDate) -> Self {
        let Some(birth) = PartialDate::from_month_number(birth_month) else { return Self::Unknown };
        let filled = |date: PartialDate| if date.month == 0 { MIDDLE_OF_YEAR } else { date.month };
        let turned = filled(at) >= filled(birth);
        match at.year.checked_sub(birth.year) {
            None => Self::BornLater,
            Some(0) if !turned => Self::BornLater,
            Some(years) => Self::Years(if turned { years } else { years - 1 }),
        }
    }
}

impl Grouping {
    pub fn named(name: &str) -> Option<Self> {
        GROUPINGS.into_iter().find(|grouping| grouping.name() == name)
    }

    /// The name in parameters and column heads.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sex => "sex",
            Self::AgeGroup => "age_group",
            Self::Marital => "marital",
            Self::ResidenceStatus => "residence_status",
            Self::HouseholdType => "household_type",
            Self::Type => "type",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
            Self::BirthOrder => "birth_order",
            Self::MotherAgeGroup => "mother_age_group",
        }
    }

    /// The cube's dimension from which the group is told.
    pub(super) fn dimension(self) -> &'static str {
        match self {
            Self::AgeGroup => "birth_month",
            Self::Quarter | Self::Year => "month",
            other => other.name(),
        }
    }

    /// The group's number, in natural order, from the dimension's number (0: absent).
    pub(super) fn group(self, dimension: u16, at: PartialDate) -> u16 {
        match self {
            Self::AgeGroup => match Age::at(dimension, at) {
                Age::Years(years) => (years / 5).min(OLDEST_GROUP),
                Age::BornLater => BORN_LATER,
                Age::Unknown => UNKNOWN,
            },
            _ if dimension == 0 => UNKNOWN,
            Self::Month => dimension,
            Self::Quarter => match PartialDate::from_month_number(dimension) {
                // Quarter 0: the month is unknown.
                Some(date) => date.year * 5 + u16::from(date.month.div_ceil(3)),
                None => UNKNOWN,
            },
            Self::Year => PartialDate::from_month_number(dimension).map_or(UNKNOWN, |date| date.year),
            Self::Sex
            | Self::Marital
            | Self::ResidenceStatus
            | Self::HouseholdType
            | Self::Type
            | Self::BirthOrder
            | Self::MotherAgeGroup => dimension - 1,
        }
    }

    /// What people read for the group. `list`: name of the code list behind the dimension, where there is one.
    pub(super) fn text(self, group: u16, schema: &Schema, list: Option<&str>) -> String {
        match self {
            _ if group == UNKNOWN => "unknown".into(),
            Self::AgeGroup | Self::MotherAgeGroup => match group {
                BORN_LATER => "born_later".into(),
                OLDEST_GROUP => format!("{}+", OLDEST_GROUP * 5),
                group => format!("{}-{}", group * 5, group * 5 + 4),
            },
            Self::Month => PartialDate::from_month_number(group).map_or_else(|| "unknown".into(), |date| date.to_string()),
            Self::Quarter => match (group / 5, group % 5) {
                (year, 0) => format!("{year:04}"),
                (year, quarter) => format!("{year:04}-Q{quarter}"),
            },
            Self::Year => format!("{group:04}"),
            Self::BirthOrder if group == BIRTH_ORDER_MAX => format!("{BIRTH_ORDER_MAX}+"),
            Self::BirthOrder => group.to_string(),
            Self::Sex | Self::Marital | Self::ResidenceStatus | Self::HouseholdType | Self::Type => {
                let code = list.and_then(|list| schema.code_list(list)).and_then(|list| list.code(u32::from(group)));
                code.map_or_else(|| format!("#{group}"), |code| code.code.clone())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age(birth: &str, at: &str) -> Age {
        let date = |text| PartialDate::parse(text).expect("a date");
        Age::at(date(birth).month_number(), date(at))
    }

    #[test]
    fn a_person_turns_a_year_older_in_the_month_of_birth() {
        assert_eq!(age("2000-06", "2019-05-31"), Age::Years(18));
        assert_eq!(age("2000-06", "2019-06-01"), Age::Years(19));
        assert_eq!(age("2000", "2019-06"), Age::Years(18));
        assert_eq!(age("2000", "2019-07"), Age::Years(19));
        assert_eq!(age("2019-05", "2019-04-01"), Age::BornLater);
        assert_eq!(age("2020", "2019-12"), Age::BornLater);
        assert_eq!(Age::at(0, PartialDate { year: 2019, month: 4, day: 1 }), Age::Unknown);
    }

    #[test]
    fn groups_are_numbered_in_their_natural_order() {
        let at = PartialDate { year: 2019, month: 4, day: 1 };
        let group = |text: &str| Grouping::AgeGroup.group(PartialDate::parse(text).expect("a date").month_number(), at);
        let text = |group| Grouping::AgeGroup.text(group, kho_storage::schema::population(), None);
        let births = ["2019-04", "2014-04", "1919-04", "1900", "2021"];
        assert_eq!(births.map(|birth| text(group(birth))), ["0-4", "5-9", "100+", "100+", "born_later"]);
        assert!(births.windows(2).all(|pair| group(pair[0]) <= group(pair[1])));
        let quarter = |text: &str| Grouping::Quarter.group(PartialDate::parse(text).expect("a date").month_number(), at);
        assert!(quarter("2018-12") < quarter("2019") && quarter("2019") < quarter("2019-01") && quarter("2019-03") < quarter("2019-04"));
        assert_eq!(Grouping::Quarter.text(quarter("2019-03"), kho_storage::schema::population(), None), "2019-Q1");
    }

    #[test]
    fn every_grouping_is_found_by_its_name() {
        assert!(GROUPINGS.iter().all(|grouping| Grouping::named(grouping.name()) == Some(*grouping)));
    }
}
