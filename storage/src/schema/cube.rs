//! Cubes: counts of a table's rows by dimensions, declared in the schema and kept in the same atomic write as the rows.

use serde::{Deserialize, Serialize};

use super::{ColumnKind, PartialDate, Schema, Table, Value};
use crate::{
    ids::{ColumnId, CubeId},
    row::RowCells,
};

/// A declared cube.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cube {
    pub id: CubeId,
    pub name: String,
    pub label: String,
    pub table: String,
    #[serde(default)]
    pub measure: Measure,
    /// Only rows that pass are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<CubeFilter>,
    /// The finest area; always the first part of a cell's key.
    pub area: AreaDimension,
    #[serde(rename = "dimension")]
    pub dimensions: Vec<Dimension>,
}

/// What a cell holds.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The number of rows.
    #[default]
    Count,
    /// The sum of an integer column.
    Sum(String),
}

/// Counts only rows whose `column` holds one of `codes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CubeFilter {
    pub column: String,
    pub codes: Vec<String>,
}

/// Where a row lies: the unit's code and the catalogue it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AreaDimension {
    pub column: String,
    pub catalogue: String,
}

/// One further part of a cell's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dimension {
    pub name: String,
    #[serde(flatten)]
    pub source: DimensionSource,
}

/// How a row's value becomes a dimension's number. In every case 0 means "absent".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum DimensionSource {
    /// A code's number plus 1.
    Code { column: String },
    /// Year × 13 + month, where month 0 means that the month is unknown.
    Month { column: String },
    /// A whole number plus 1, clipped to `0 ..= max`.
    Integer { column: String, max: u16 },
    /// Five-year group, plus 1, of the age that somebody born at `birth` has at `at`; 100 and older are one group.
    AgeGroup { birth: String, at: String },
}

impl Cube {
    /// Checks that everything the cube names exists, with a fitting type.
    pub(super) fn check(&self, schema: &Schema) -> Result<(), String> {
        let table =
            schema.table_named(&self.table).ok_or_else(|| format!("cube `{}` counts the unknown table `{}`", self.name, self.table))?;
        let mut wanted = vec![(&self.area.column, "area"), (&self.area.catalogue, "code")];
        for dimension in &self.dimensions {
            match &dimension.source {
                DimensionSource::Code { column } => wanted.push((column, "code")),
                DimensionSource::Month { column } => wanted.push((column, "date")),
                DimensionSource::Integer { column, .. } => wanted.push((column, "integer")),
                DimensionSource::AgeGroup { birth, at } => wanted.extend([(birth, "date"), (at, "date")]),
            }
        }
        if let Some(filter) = &self.filter {
            wanted.push((&filter.column, "code"));
        }
        if let Measure::Sum(column) = &self.measure {
            wanted.push((column, "integer"));
        }
        for (name, kind) in wanted {
            let fits = table.column_named(name).is_some_and(|c| c.kind.type_name() == kind);
            if !fits {
                return Err(format!("cube `{}` needs column `{}.{name}` of type {kind}", self.name, table.name));
            }
        }
        Ok(())
    }
}

impl ColumnKind {
    /// The type's name, as messages and schema files use it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::Integer { .. } => "integer",
            Self::Date => "date",
            Self::Code { .. } => "code",
            Self::Flags { .. } => "flags",
            Self::Area { .. } => "area",
        }
    }
}

/// A cube with its names resolved to numbers once, so that counting a row looks nothing up.
#[derive(Debug, Clone)]
pub(crate) struct CompiledCube {
    pub id: CubeId,
    area: ColumnId,
    catalogue: ColumnId,
    filter: Option<(ColumnId, Vec<u32>)>,
    measure: Option<ColumnId>,
    dimensions: Vec<CompiledDimension>,
}

#[derive(Debug, Clone)]
enum CompiledDimension {
    Code(ColumnId),
    Month(ColumnId),
    Integer(ColumnId, u16),
    AgeGroup { birth: ColumnId, at: ColumnId },
}

impl CompiledCube {
    /// Resolves `cube`; `None` when it counts another table.
    pub fn compile(cube: &Cube, table: &Table, schema: &Schema) -> Option<Self> {
        if cube.table != table.name {
            return None;
        }
        let id = |name: &str| table.column_named(name).map(|c| c.id);
        let mut dimensions = Vec::with_capacity(cube.dimensions.len());
        for dimension in &cube.dimensions {
            dimensions.push(match &dimension.source {
                DimensionSource::Code { column } => CompiledDimension::Code(id(column)?),
                DimensionSource::Month { column } => CompiledDimension::Month(id(column)?),
                DimensionSource::Integer { column, max } => CompiledDimension::Integer(id(column)?, *max),
                DimensionSource::AgeGroup { birth, at } => CompiledDimension::AgeGroup { birth: id(birth)?, at: id(at)? },
            });
        }
        let filter = match &cube.filter {
            None => None,
            Some(filter) => {
                let column = table.column_named(&filter.column)?;
                let list = schema.code_list(column.kind.list()?)?;
                Some((column.id, filter.codes.iter().filter_map(|code| list.number(code)).collect()))
            }
        };
        let measure = match &cube.measure {
            Measure::Count => None,
            Measure::Sum(column) => Some(id(column)?),
        };
        Some(Self { id: cube.id, area: id(&cube.area.column)?, catalogue: id(&cube.area.catalogue)?, filter, measure, dimensions })
    }

    /// Writes the cell's key (area, then dimensions, big-endian) that `row` counts in behind `key` and returns the
    /// amount it adds; `None` when the filter leaves the row out.
    pub fn cell(&self, row: &RowCells<'_>, key: &mut Vec<u8>) -> Option<i64> {
        if let Some((column, codes)) = &self.filter {
            match row.value(*column) {
                Some(Value::Code(code)) if codes.contains(&code) => {}
                _ => return None,
            }
        }
        let amount = match self.measure {
            None => 1,
            Some(column) => match row.value(column) {
                Some(Value::Integer(amount)) => amount,
                _ => 0,
            },
        };
        key.extend(area_number(row.value(self.catalogue), row.value(self.area)).to_be_bytes());
        for dimension in &self.dimensions {
            key.extend(dimension.number(row).to_be_bytes());
        }
        Some(amount)
    }
}

impl CompiledDimension {
    fn number(&self, row: &RowCells<'_>) -> u16 {
        match self {
            Self::Code(column) => match row.value(*column) {
                Some(Value::Code(code)) => u16::try_from(code.saturating_add(1)).unwrap_or(u16::MAX),
                _ => 0,
            },
            Self::Month(column) => match row.value(*column) {
                Some(Value::Date(date)) => date.month_number(),
                _ => 0,
            },
            Self::Integer(column, max) => match row.value(*column) {
                Some(Value::Integer(number)) => u16::try_from(number.clamp(0, i64::from(*max)) + 1).unwrap_or(u16::MAX),
                _ => 0,
            },
            Self::AgeGroup { birth, at } => match (row.value(*birth), row.value(*at)) {
                (Some(Value::Date(birth)), Some(Value::Date(at))) => PartialDate::five_year_group(birth, at).map_or(0, |group| group + 1),
                _ => 0,
            },
        }
    }
}

/// Catalogue number in the top byte, unit code below: `(catalogue, code)` identifies a unit, a bare code does not.
fn area_number(catalogue: Option<Value>, area: Option<Value>) -> u32 {
    match (catalogue, area) {
        (Some(Value::Code(catalogue)), Some(Value::Area(code))) => (catalogue << 24) | (code & 0x00ff_ffff),
        _ => u32::MAX,
    }
}
