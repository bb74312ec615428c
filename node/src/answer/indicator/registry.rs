//! What each indicator counts. Formulas follow Circular 01/2022/TT-BYT and the census's definitions (`domain.md`): all as data,
//! so that the list can be shown, checked and grown.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Grouping, Grouping::*};

/// A named table of numbers.
#[derive(Debug)]
pub struct Indicator {
    pub name: &'static str,
    pub english: &'static str,
    pub vietnamese: &'static str,
    pub groupings: &'static [Grouping],
    /// What is added up, into numbered slots.
    pub(super) counts: &'static [&'static [Count]],
    /// What the answer shows of the slots.
    pub(super) figures: &'static [Figure],
    pub(super) period: PeriodUse,
}

/// What a period means to an indicator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PeriodUse {
    /// It counts what is, not what happened.
    Never,
    /// All time when none is given.
    Open,
    /// The twelve whole months before now when none is given.
    Closed,
}

/// Cells of a cube that pass every condition add `sign` times their amount to a slot.
#[derive(Debug)]
pub(super) struct Count {
    pub slot: usize,
    pub sign: i64,
    pub cube: &'static str,
    pub conditions: &'static [Condition],
}

/// A condition on a cell; dimensions and codes by name.
#[derive(Debug, Clone, Copy)]
pub(super) enum Condition {
    Is(&'static str, &'static [&'static str]),
    IsNot(&'static str, &'static [&'static str]),
    /// Completed years at the reference date, both included.
    Aged(u16, u16),
    /// A whole number that is known and at least so much.
    AtLeast(&'static str, u16),
    /// In the asked period.
    Happened,
    /// After the middle of the asked period, up to now.
    HappenedSinceMiddle,
}

/// A value column.
#[derive(Debug)]
pub(super) struct Figure {
    pub name: &'static str,
    pub formula: Formula,
}

/// How a value follows from the slots.
#[derive(Debug, Clone, Copy)]
pub(super) enum Formula {
    Slot(usize),
    Difference(usize, usize),
    /// `of / over × per`; none over nobody.
    Ratio {
        of: usize,
        over: usize,
        per: f64,
    },
    /// `(of − less) / over` per 1,000 and year, over a period of any length; none over nobody.
    YearlyRate {
        of: usize,
        less: Option<usize>,
        over: usize,
    },
}

impl Formula {
    /// The value; `months` is the length of the period, where it is closed.
    pub fn value(self, slots: &[i64], months: Option<u32>) -> Option<f64> {
        let slot = |place: usize| slots[place] as f64;
        let over = |place: usize| Some(slot(place)).filter(|over| *over > 0.0);
        match self {
            Self::Slot(place) => Some(slot(place)),
            Self::Difference(of, less) => Some(slot(of) - slot(less)),
            Self::Ratio { of, over: place, per } => Some(slot(of) / over(place)? * per),
            Self::YearlyRate { of, less, over: place } => {
                let years = f64::from(months?) / 12.0;
                Some((slot(of) - less.map_or(0.0, slot)) / over(place)? / years * 1000.0)
            }
        }
    }
}

const NOT_ABSENT: Condition = Condition::IsNot("residence_status", &["absent"]);
const FOREVER: u16 = u16::MAX;

const fn persons(slot: usize, conditions: &'static [Condition]) -> Count {
    Count { slot, sign: 1, cube: "population", conditions }
}

const fn events(slot: usize, conditions: &'static [Condition]) -> Count {
    Count { slot, sign: 1, cube: "events", conditions }
}

const fn figure(name: &'static str, formula: Formula) -> Figure {
    Figure { name, formula }
}

static BIRTHS: [Count; 1] = [events(0, &[Condition::Is("type", &["birth"]), Condition::Happened])];
static DEATHS: [Count; 1] = [events(0, &[Condition::Is("type", &["death"]), Condition::Happened])];
static DEATHS_BESIDE: [Count; 1] = [events(2, &[Condition::Is("type", &["death"]), Condition::Happened])];

/// Slot 1: today's de facto population, taken back to the middle of the period by the events since.
static MID_PERIOD_POPULATION: [Count; 3] = [
    persons(1, &[NOT_ABSENT]),
    Count {
        slot: 1,
        sign: -1,
        cube: "events",
        conditions: &[Condition::Is("type", &["birth", "in_migration"]), Condition::HappenedSinceMiddle],
    },
    Count {
        slot: 1,
        sign: 1,
        cube: "events",
        conditions: &[Condition::Is("type", &["death", "out_migration"]), Condition::HappenedSinceMiddle],
    },
];

static INDICATORS: [Indicator; 20] = [
    Indicator {
        name: "population",
        english: "De facto population: permanent and temporary residents, without those registered as absent",
        vietnamese: "Dân số thực tế: thường trú và tạm trú, không tính người tạm vắng",
        groupings: &[Sex, AgeGroup, Marital, ResidenceStatus],
        counts: &[&[persons(0, &[NOT_ABSENT])]],
        figures: &[figure("persons", Formula::Slot(0))],
        period: PeriodUse::Never,
    },
    Indicator {
        name: "population_registered",
        english: "Registered population: permanent, temporary and absent",
        vietnamese: "Dân số theo sổ: thường trú, tạm trú và tạm vắng",
        groupings: &[Sex, AgeGroup, Marital, ResidenceStatus],
        counts: &[&[persons(0, &[])]],
        figures: &[figure("persons", Formula::Slot(0))],
        period: PeriodUse::Never,
    },
    Indicator {
        name: "households",
        english: "Households",
        vietnamese: "Số hộ",
        groupings: &[HouseholdType],
        counts: &[&[Count { slot: 0, sign: 1, cube: "households", conditions: &[] }]],
        figures: &[figure("households", Formula::Slot(0))],
        period: PeriodUse::Never,
    },
    Indicator {
        name: "married_women_15_49",
        english: "Married women aged 15 to 49, de facto population",
        vietnamese: "Phụ nữ 15-49 tuổi đang kết hôn",
        groupings: &[AgeGroup],
        counts: &[&[persons(
            0,
            &[NOT_ABSENT, Condition::Is("sex", &["female"]), Condition::Is("marital", &["married"]), Condition::Aged(15, 49)],
        )]],
        figures: &[figure("women", Formula::Slot(0))],
        period: PeriodUse::Never,
    },
    Indicator {
        name: "ageing_index",
        english: "Ageing index: persons aged 60 and older per 100 aged 0 to 14",
        vietnamese: "Chỉ số già hóa: số người từ 60 tuổi trên 100 người 0-14 tuổi",
        groupings: &[Sex],
        counts: &[&[persons(0, &[NOT_ABSENT, Condition::Aged(60, FOREVER)]), persons(1, &[NOT_ABSENT, Condition::Aged(0, 14)])]],
        figures: &[
            figure("aged_60_plus", Formula::Slot(0)),
            figure("aged_0_14", Formula::Slot(1)),
            figure("ageing_index", Formula::Ratio { of: 0, over: 1, per: 100.0 }),
        ],
        period: PeriodUse::Never,
    },
    Indicator {
        name: "dependency_ratio",
        english: "Dependency ratio: persons aged 0 to 14 and 65 and older per 100 aged 15 to 64",
        vietnamese: "Tỷ số phụ thuộc: số người 0-14 và từ 65 tuổi trên 100 người 15-64 tuổi",
        groupings: &[Sex],
        counts: &[&[
            persons(0, &[NOT_ABSENT, Condition::Aged(0, 14)]),
            persons(0, &[NOT_ABSENT, Condition::Aged(65, FOREVER)]),
            persons(1, &[NOT_ABSENT, Condition::Aged(15, 64)]),
        ]],
        figures: &[
            figure("dependants", Formula::Slot(0)),
            figure("aged_15_64", Formula::Slot(1)),
            figure("dependency_ratio", Formula::Ratio { of: 0, over: 1, per: 100.0 }),
        ],
        period: PeriodUse::Never,
    },
    Indicator {
        name: "events",
        english: "Events of all types",
        vietnamese: "Biến động dân số",
        groupings: &[Type, Month, Quarter, Year, Sex, BirthOrder, MotherAgeGroup],
        counts: &[&[events(0, &[Condition::Happened])]],
        figures: &[figure("events", Formula::Slot(0))],
        period: PeriodUse::Open,
    },
    Indicator {
        name: "births",
        english: "Births",
        vietnamese: "Số trẻ sinh ra",
        groupings: &[Month, Quarter, Year, Sex, BirthOrder, MotherAgeGroup],
        counts: &[&BIRTHS],
        figures: &[figure("births", Formula::Slot(0))],
        period: PeriodUse::Open,
    },
    Indicator {
        name: "deaths",
        english: "Deaths",
        vietnamese: "Số người chết",
        groupings: &[Month, Quarter, Year],
        counts: &[&DEATHS],
        figures: &[figure("deaths", Formula::Slot(0))],
        period: PeriodUse::Open,
    },
    Indicator {
        name: "marriages",
        english: "Marriages",
        vietnamese: "Số cuộc kết hôn",
        groupings: &[Month, Quarter, Year],
        counts: &[&[events(0, &[Condition::Is("type", &["marriage"]), Condition::Happened])]],
        figures: &[figure("marriages", Formula::Slot(0))],
        period: PeriodUse::Open,
    },
    Indicator {
        name: "divorces",
        english: "Divorces",
        vietnamese: "Số vụ ly hôn",
        groupings: &[Month, Quarter, Year],
        counts: &[&[events(0, &[Condition::Is("type", &["divorce"]), Condition::Happened])]],
        figures: &[figure("divorces", Formula::Slot(0))],
        period: PeriodUse::Open,
    },
    Indicator {
        name: "arrivals",
        english: "Arrivals from other places",
        vietnamese: "Số người chuyển đến",
        groupings: &[Month, Quarter, Year],
        counts: &[&[events(0, &[Condition::Is("type", &["in_migration"]), Condition::Happened])]],
        figures: &[figure("arrivals", Formula::Slot(0))],
        period: PeriodUse::Open,
    },
    Indicator {
        name: "departures",
        english: "Departures to other places",
        vietnamese: "Số người chuyển đi",
        groupings: &[Month, Quarter, Year],
        counts: &[&[events(0, &[Condition::Is("type", &["out_migration"]), Condition::Happened])]],
        figures: &[figure("departures", Formula::Slot(0))],
        period: PeriodUse::Open,
    },
    Indicator {
        name: "net_migration",
        english: "Net migration: arrivals less departures",
        vietnamese: "Di cư thuần: số chuyển đến trừ số chuyển đi",
        groupings: &[Month, Quarter, Year],
        counts: &[&[
            events(0, &[Condition::Is("type", &["in_migration"]), Condition::Happened]),
            events(1, &[Condition::Is("type", &["out_migration"]), Condition::Happened]),
        ]],
        figures: &[
            figure("arrivals", Formula::Slot(0)),
            figure("departures", Formula::Slot(1)),
            figure("net_migration", Formula::Difference(0, 1)),
        ],
        period: PeriodUse::Open,
    },
    Indicator {
        name: "sex_ratio_at_birth",
        english: "Sex ratio at birth: boys per 100 girls",
        vietnamese: "Tỷ số giới tính khi sinh: số bé trai trên 100 bé gái",
        groupings: &[Month, Quarter, Year, BirthOrder, MotherAgeGroup],
        counts: &[&[
            events(0, &[Condition::Is("type", &["birth"]), Condition::Is("sex", &["male"]), Condition::Happened]),
            events(1, &[Condition::Is("type", &["birth"]), Condition::Is("sex", &["female"]), Condition::Happened]),
        ]],
        figures: &[
            figure("boys", Formula::Slot(0)),
            figure("girls", Formula::Slot(1)),
            figure("sex_ratio_at_birth", Formula::Ratio { of: 0, over: 1, per: 100.0 }),
        ],
        period: PeriodUse::Open,
    },
    Indicator {
        name: "third_and_later_births_share",
        english: "Share of third and later births, in percent of all births",
        vietnamese: "Tỷ lệ sinh con thứ ba trở lên (% tổng số sinh)",
        groupings: &[Month, Quarter, Year, Sex, MotherAgeGroup],
        counts: &[&BIRTHS, &[events(1, &[Condition::Is("type", &["birth"]), Condition::AtLeast("birth_order", 3), Condition::Happened])]],
        figures: &[
            figure("births", Formula::Slot(0)),
            figure("third_and_later", Formula::Slot(1)),
            figure("third_and_later_births_share", Formula::Ratio { of: 1, over: 0, per: 100.0 }),
        ],
        period: PeriodUse::Open,
    },
    Indicator {
        name: "crude_birth_rate",
        english: "Crude birth rate: births per 1,000 of the mid-period de facto population and year",
        vietnamese: "Tỷ suất sinh thô (‰ một năm)",
        groupings: &[],
        counts: &[&BIRTHS, &MID_PERIOD_POPULATION],
        figures: &[
            figure("births", Formula::Slot(0)),
            figure("mid_period_population", Formula::Slot(1)),
            figure("crude_birth_rate", Formula::YearlyRate { of: 0, less: None, over: 1 }),
        ],
        period: PeriodUse::Closed,
    },
    Indicator {
        name: "crude_death_rate",
        english: "Crude death rate: deaths per 1,000 of the mid-period de facto population and year",
        vietnamese: "Tỷ suất chết thô (‰ một năm)",
        groupings: &[],
        counts: &[&DEATHS, &MID_PERIOD_POPULATION],
        figures: &[
            figure("deaths", Formula::Slot(0)),
            figure("mid_period_population", Formula::Slot(1)),
            figure("crude_death_rate", Formula::YearlyRate { of: 0, less: None, over: 1 }),
        ],
        period: PeriodUse::Closed,
    },
    Indicator {
        name: "natural_increase",
        english: "Natural increase: births less deaths, and per 1,000 of the mid-period de facto population and year",
        vietnamese: "Tăng tự nhiên: số sinh trừ số chết, và tỷ suất (‰ một năm)",
        groupings: &[],
        counts: &[&BIRTHS, &MID_PERIOD_POPULATION, &DEATHS_BESIDE],
        figures: &[
            figure("births", Formula::Slot(0)),
            figure("deaths", Formula::Slot(2)),
            figure("natural_increase", Formula::Difference(0, 2)),
            figure("mid_period_population", Formula::Slot(1)),
            figure("natural_increase_rate", Formula::YearlyRate { of: 0, less: Some(2), over: 1 }),
        ],
        period: PeriodUse::Closed,
    },
    Indicator {
        name: "net_migration_rate",
        english: "Net migration rate: arrivals less departures per 1,000 of the mid-period de facto population and year",
        vietnamese: "Tỷ suất di cư thuần (‰ một năm)",
        groupings: &[],
        counts: &[
            &MID_PERIOD_POPULATION,
            &[
                events(0, &[Condition::Is("type", &["in_migration"]), Condition::Happened]),
                events(2, &[Condition::Is("type", &["out_migration"]), Condition::Happened]),
            ],
        ],
        figures: &[
            figure("arrivals", Formula::Slot(0)),
            figure("departures", Formula::Slot(2)),
            figure("mid_period_population", Formula::Slot(1)),
            figure("net_migration_rate", Formula::YearlyRate { of: 0, less: Some(2), over: 1 }),
        ],
        period: PeriodUse::Closed,
    },
];

/// Every indicator, in the order in which they are shown.
pub fn indicators() -> &'static [Indicator] {
    &INDICATORS
}

impl Indicator {
    pub fn named(name: &str) -> Option<&'static Self> {
        INDICATORS.iter().find(|indicator| indicator.name == name)
    }

    /// English and Vietnamese, as one line.
    pub fn label(&self) -> String {
        format!("{} · {}", self.english, self.vietnamese)
    }

    /// Whether ages, and so a reference date, can matter to it.
    pub fn takes_reference_date(&self) -> bool {
        self.groupings.contains(&AgeGroup) || self.needs_ages()
    }

    /// Whether it counts by age, whatever is asked.
    pub(super) fn needs_ages(&self) -> bool {
        self.counts
            .iter()
            .flat_map(|counts| counts.iter())
            .flat_map(|count| count.conditions)
            .any(|condition| matches!(condition, Condition::Aged(..)))
    }
}

/// An indicator as the list of indicators shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IndicatorInfo {
    pub name: String,
    pub label: String,
    pub label_vi: String,
    /// Names that `by` takes.
    pub dimensions: Vec<String>,
    /// Names of the value columns.
    pub values: Vec<String>,
    /// Whether `from` and `to` apply.
    pub takes_period: bool,
    /// Whether `at` applies.
    pub takes_reference_date: bool,
}

/// The list of indicators.
pub fn indicator_list() -> Vec<IndicatorInfo> {
    let info = |indicator: &Indicator| IndicatorInfo {
        name: indicator.name.into(),
        label: indicator.english.into(),
        label_vi: indicator.vietnamese.into(),
        dimensions: indicator.groupings.iter().map(|grouping| grouping.name().into()).collect(),
        values: indicator.figures.iter().map(|figure| figure.name.into()).collect(),
        takes_period: indicator.period != PeriodUse::Never,
        takes_reference_date: indicator.takes_reference_date(),
    };
    INDICATORS.iter().map(info).collect()
}
