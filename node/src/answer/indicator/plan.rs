//! A question resolved against the schema: names become places and numbers once, so that a cell looks nothing up.

use kho_storage::{
    ids::CubeId,
    schema::{Cube, DimensionSource, PartialDate, Schema},
    warehouse::CubeCell,
};

use super::{
    Grouping, IndicatorQuery, Month, Period,
    grouping::Age,
    registry::{Condition, Count},
    tally::{GROUPINGS_MAX, GroupKey, Tally},
};
use crate::answer::BadQuestion;

/// What is read of every cube that the indicator counts.
#[derive(Debug)]
pub(super) struct Plan {
    pub scans: Vec<CubeScan>,
}

/// What is read of one cube.
#[derive(Debug)]
pub(super) struct CubeScan {
    pub cube: CubeId,
    /// Groupings in the order asked for, each with the place of its dimension.
    axes: Vec<(Grouping, usize)>,
    counts: Vec<CompiledCount>,
    at: PartialDate,
    period: Period,
}

#[derive(Debug)]
struct CompiledCount {
    slot: usize,
    sign: i64,
    tests: Vec<Test>,
}

/// A condition with places and dimension numbers.
#[derive(Debug)]
enum Test {
    Is(usize, Vec<u16>),
    IsNot(usize, Vec<u16>),
    Aged(usize, u16, u16),
    AtLeast(usize, u16),
    Happened(usize),
    HappenedSinceMiddle(usize),
}

impl Plan {
    /// Resolves `query`.
    ///
    /// # Errors
    /// [`BadQuestion::NotCounted`] when the site's schema lacks a cube, dimension or code.
    pub fn compile(query: &IndicatorQuery, schema: &Schema) -> Result<Self, BadQuestion> {
        let mut scans: Vec<CubeScan> = Vec::new();
        for count in query.indicator.counts.iter().flat_map(|counts| counts.iter()) {
            let missing = |missing: String| BadQuestion::NotCounted { indicator: query.indicator.name.into(), missing };
            let cube = schema.cube_named(count.cube).ok_or_else(|| missing(format!("cube `{}`", count.cube)))?;
            let compiled = CompiledCount::compile(count, cube, schema).map_err(missing)?;
            match scans.iter_mut().find(|scan| scan.cube == cube.id) {
                Some(scan) => scan.counts.push(compiled),
                None => {
                    let axis = |grouping: &Grouping| place(cube, grouping.dimension()).map(|place| (*grouping, place));
                    let axes = query.by.iter().map(axis).collect::<Result<_, _>>().map_err(missing)?;
                    scans.push(CubeScan { cube: cube.id, axes, counts: vec![compiled], at: query.at, period: query.period });
                }
            }
        }
        Ok(Self { scans })
    }
}

impl CubeScan {
    /// Adds `cell`, which lies in `area`, where it counts.
    pub fn add(&self, cell: &CubeCell, area: u32, tally: &mut Tally) {
        let dimension = |place: usize| cell.dimensions.get(place).copied().unwrap_or(0);
        let mut key = None;
        for count in &self.counts {
            if !count.tests.iter().all(|test| test.passes(dimension, self.at, &self.period)) {
                continue;
            }
            let key = *key.get_or_insert_with(|| {
                let mut numbers = [0; GROUPINGS_MAX];
                for (number, (grouping, place)) in numbers.iter_mut().zip(&self.axes) {
                    *number = grouping.group(dimension(*place), self.at);
                }
                GroupKey { area, numbers }
            });
            tally.add(key, count.slot, count.sign * cell.amount);
        }
    }
}

impl CompiledCount {
    /// Resolves a count; the error names what the schema lacks.
    fn compile(count: &Count, cube: &Cube, schema: &Schema) -> Result<Self, String> {
        let test = |condition: &Condition| {
            Ok(match *condition {
                Condition::Is(dimension, codes) => Test::Is(place(cube, dimension)?, numbers(cube, schema, dimension, codes)?),
                Condition::IsNot(dimension, codes) => Test::IsNot(place(cube, dimension)?, numbers(cube, schema, dimension, codes)?),
                Condition::Aged(from, to) => Test::Aged(place(cube, "birth_month")?, from, to),
                // A whole number stands in a cell plus 1.
                Condition::AtLeast(dimension, number) => Test::AtLeast(place(cube, dimension)?, number + 1),
                Condition::Happened => Test::Happened(place(cube, "month")?),
                Condition::HappenedSinceMiddle => Test::HappenedSinceMiddle(place(cube, "month")?),
            })
        };
        Ok(Self { slot: count.slot, sign: count.sign, tests: count.conditions.iter().map(test).collect::<Result<_, String>>()? })
    }
}

impl Test {
    fn passes(&self, dimension: impl Fn(usize) -> u16, at: PartialDate, period: &Period) -> bool {
        match self {
            Self::Is(place, numbers) => numbers.contains(&dimension(*place)),
            Self::IsNot(place, numbers) => !numbers.contains(&dimension(*place)),
            Self::Aged(place, from, to) => matches!(Age::at(dimension(*place), at), Age::Years(years) if (*from..=*to).contains(&years)),
            Self::AtLeast(place, number) => dimension(*place) >= *number,
            Self::Happened(place) => period.holds(Month::numbered(dimension(*place))),
            Self::HappenedSinceMiddle(place) => period.lies_behind_middle(Month::numbered(dimension(*place))),
        }
    }
}

/// The dimension's place in a cell.
fn place(cube: &Cube, dimension: &str) -> Result<usize, String> {
    cube.dimensions
        .iter()
        .position(|known| known.name == dimension)
        .ok_or_else(|| format!("dimension `{dimension}` in cube `{}`", cube.name))
}

/// The numbers that codes have in a cell: their number in the list plus 1.
fn numbers(cube: &Cube, schema: &Schema, dimension: &str, codes: &[&str]) -> Result<Vec<u16>, String> {
    let list = code_list(cube, schema, dimension).and_then(|name| schema.code_list(name));
    let number = |code: &&str| {
        let number = list.and_then(|list| list.number(code)).and_then(|number| u16::try_from(number + 1).ok());
        number.ok_or_else(|| format!("code `{code}` for dimension `{dimension}` of cube `{}`", cube.name))
    };
    codes.iter().map(number).collect()
}

/// Name of the code list behind a dimension, where there is one.
pub(super) fn code_list<'s>(cube: &Cube, schema: &'s Schema, dimension: &str) -> Option<&'s str> {
    let source = &cube.dimensions.iter().find(|known| known.name == dimension)?.source;
    let DimensionSource::Code { column } = source else { return None };
    schema.table_named(&cube.table)?.column_named(column)?.kind.list()
}
