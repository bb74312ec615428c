//! One NDJSON line as JSON: read without an intermediate tree, so that a name that stands twice is seen and text is borrowed.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::fault::JsonKind;

/// A line as it stands, in the order in which serde gives it.
#[derive(Default)]
pub(super) struct JsonLine<'a> {
    pub table: Option<Cell<'a>>,
    pub row: Option<Row<'a>>,
    pub delete: Option<Cell<'a>>,
    /// What is wrong with the line's own fields.
    pub faults: Vec<Fault>,
}

/// A field of the line that should not be there.
pub(super) enum Fault {
    Unknown(String),
    Twice(&'static str),
}

/// What stands under `row`.
pub(super) enum Row<'a> {
    Cells(Vec<(Cow<'a, str>, Cell<'a>)>),
    Other,
}

/// A value of JSON, as far as a cell can use it.
pub(super) enum Cell<'a> {
    Null,
    Text(Cow<'a, str>),
    Whole(i128),
    Fraction,
    Truth,
    /// An object or a list, read over.
    Nested(JsonKind),
}

impl Cell<'_> {
    /// What it is, for a message.
    pub fn kind(&self) -> JsonKind {
        match self {
            Self::Null => JsonKind::Null,
            Self::Text(_) => JsonKind::Text,
            Self::Whole(_) => JsonKind::Number,
            Self::Fraction => JsonKind::Fraction,
            Self::Truth => JsonKind::Truth,
            Self::Nested(kind) => *kind,
        }
    }
}

impl<'a> JsonLine<'a> {
    /// Reads one object; nothing may stand behind it.
    ///
    /// # Errors
    /// serde_json's: of data when the line is JSON but no object, of syntax otherwise.
    pub fn read(text: &'a str) -> Result<Self, serde_json::Error> {
        let mut json = serde_json::Deserializer::from_str(text);
        let line = Self::deserialize(&mut json)?;
        json.end()?;
        Ok(line)
    }
}

impl<'de> Deserialize<'de> for JsonLine<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Line;
        impl<'de> Visitor<'de> for Line {
            type Value = JsonLine<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with table and row or delete")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonLine<'de>, A::Error> {
                let mut line = JsonLine::default();
                while let Some(Name(name)) = map.next_key()? {
                    let twice = match name.as_ref() {
                        "table" => line.table.replace(map.next_value()?).is_some().then_some("table"),
                        "row" => line.row.replace(map.next_value()?).is_some().then_some("row"),
                        "delete" => line.delete.replace(map.next_value()?).is_some().then_some("delete"),
                        other => {
                            line.faults.push(Fault::Unknown(other.into()));
                            map.next_value::<IgnoredAny>()?;
                            None
                        }
                    };
                    line.faults.extend(twice.map(Fault::Twice));
                }
                Ok(line)
            }
        }
        deserializer.deserialize_map(Line)
    }
}

impl<'de> Deserialize<'de> for Row<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Cells;
        impl<'de> Visitor<'de> for Cells {
            type Value = Row<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of columns")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row<'de>, A::Error> {
                let mut cells = Vec::with_capacity(16);
                while let Some((Name(name), cell)) = map.next_entry()? {
                    cells.push((name, cell));
                }
                Ok(Row::Cells(cells))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Row<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Row::Other)
            }
            fn visit_str<E>(self, _: &str) -> Result<Row<'de>, E> {
                Ok(Row::Other)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Row<'de>, E> {
                Ok(Row::Other)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Row<'de>, E> {
                Ok(Row::Other)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Row<'de>, E> {
                Ok(Row::Other)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Row<'de>, E> {
                Ok(Row::Other)
            }
            fn visit_unit<E>(self) -> Result<Row<'de>, E> {
                Ok(Row::Other)
            }
        }
        deserializer.deserialize_any(Cells)
    }
}

impl<'de> Deserialize<'de> for Cell<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyCell;
        impl<'de> Visitor<'de> for AnyCell {
            type Value = Cell<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, a whole number or null")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cell<'de>, E> {
                Ok(Cell::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Cell<'de>, E> {
                Ok(Cell::Text(Cow::Owned(text.into())))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Cell<'de>, E> {
                Ok(Cell::Whole(number.into()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Cell<'de>, E> {
                Ok(Cell::Whole(number.into()))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Cell<'de>, E> {
                Ok(Cell::Fraction)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Cell<'de>, E> {
                Ok(Cell::Truth)
            }
            fn visit_unit<E>(self) -> Result<Cell<'de>, E> {
                Ok(Cell::Null)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Cell<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Cell::Nested(JsonKind::List))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cell<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Cell::Nested(JsonKind::Object))
            }
        }
        deserializer.deserialize_any(AnyCell)
    }
}

/// A name that borrows the line unless it holds escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Cell::deserialize(deserializer)? {
            Cell::Text(text) => Ok(Self(text)),
            other => Err(D::Error::custom(format!("a name is wanted here, not: {}", other.kind().code()))),
        }
    }
}
