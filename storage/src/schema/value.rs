//! Values: what a cell of a row may hold, and how text from outside becomes one.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::{Column, ColumnKind, Schema};

/// A date whose day, or month and day, may be unknown (0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartialDate {
    pub year: u16,
    pub month: u8,
    pub day: u8,
}

impl PartialDate {
    /// Reads `2019`, `2019-04` or `2019-04-01`; `None` for anything else, and for days that no calendar has.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let number = |from: usize, to: usize| -> Option<u16> {
            let digits = bytes.get(from..to)?;
            if digits.iter().all(u8::is_ascii_digit) { Some(digits.iter().fold(0u16, |n, d| n * 10 + u16::from(d - b'0'))) } else { None }
        };
        let dash = |at: usize| bytes.get(at) == Some(&b'-');
        let (year, month, day) = match bytes.len() {
            4 => (number(0, 4)?, 0, 0),
            7 if dash(4) => (number(0, 4)?, number(5, 7)?, 0),
            10 if dash(4) && dash(7) => (number(0, 4)?, number(5, 7)?, number(8, 10)?),
            _ => return None,
        };
        let month_given = bytes.len() >= 7;
        let day_given = bytes.len() == 10;
        if !(1800..=2200).contains(&year) || (month_given && !(1..=12).contains(&month)) {
            return None;
        }
        if day_given && !(1..=days_in(year, month)).contains(&day) {
            return None;
        }
        Some(Self { year, month: month as u8, day: day as u8 })
    }

    /// Year × 13 + month: one number a month, and one a year for "month unknown".
    pub fn month_number(self) -> u16 {
        // A batch from outside may hold any year; what no calendar has is counted together at the end.
        self.year.saturating_mul(13).saturating_add(u16::from(self.month))
    }

    /// The date (day unknown) that [`Self::month_number`] stands for; `None` for 0.
    pub fn from_month_number(number: u16) -> Option<Self> {
        if number == 0 { None } else { Some(Self { year: number / 13, month: (number % 13) as u8, day: 0 }) }
    }

    /// Completed years from `birth` to `at`. What is unknown counts as the middle of its year or month; negative
    /// when `at` lies before `birth`.
    pub fn completed_years(birth: Self, at: Self) -> i32 {
        let filled = |date: Self| match (date.month, date.day) {
            (0, _) => (7, 1),
            (month, 0) => (month, 15),
            (month, day) => (month, day),
        };
        let years = i32::from(at.year) - i32::from(birth.year);
        if filled(at) < filled(birth) { years - 1 } else { years }
    }

    /// Five-year group of the age at `at`: 0 for 0-4 … 20 for 100 and older; `None` when unborn.
    pub fn five_year_group(birth: Self, at: Self) -> Option<u16> {
        let years = Self::completed_years(birth, at);
        (years >= 0).then(|| u16::try_from(years / 5).unwrap_or(20).min(20))
    }

    pub(crate) fn pack(self) -> u64 {
        (u64::from(self.year) << 9) | (u64::from(self.month) << 5) | u64::from(self.day)
    }

    pub(crate) fn unpack(packed: u64) -> Option<Self> {
        let date = Self { year: u16::try_from(packed >> 9).ok()?, month: ((packed >> 5) & 15) as u8, day: (packed & 31) as u8 };
        (date.month <= 12).then_some(date)
    }
}

fn days_in(year: u16, month: u16) -> u16 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

impl fmt::Display for PartialDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.month, self.day) {
            (0, _) => write!(f, "{:04}", self.year),
            (month, 0) => write!(f, "{:04}-{month:02}", self.year),
            (month, day) => write!(f, "{:04}-{month:02}-{day:02}", self.year),
        }
    }
}

/// What one cell holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    Text(Cow<'a, str>),
    Integer(i64),
    Date(PartialDate),
    /// Number of the code in its list.
    Code(u32),
    /// Bit `n` stands for the code with number `n`.
    Flags(u64),
    /// A unit's code as a number; shown with five digits.
    Area(u32),
}

/// Why text is not a value of its column. What was given is cut to [`GIVEN_CHARS_MAX`] characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("`{given}` is not a whole number")]
    NotWholeNumber { given: String },
    #[error("{number} lies outside {min} to {max}")]
    OutOfRange { number: i64, min: i64, max: i64 },
    #[error("`{given}` is not a date")]
    NotADate { given: String },
    #[error("`{given}` is not a unit code")]
    NotAUnitCode { given: String },
    #[error("the text holds the control character U+{:04X}", *.character as u32)]
    ControlCharacter { character: char },
    #[error("the text has {chars} characters, at most {chars_max} fit")]
    TooLong { chars: usize, chars_max: usize },
    #[error("`{given}` is not {digits} digits")]
    NotDigits { given: String, digits: usize },
    #[error("`{given}` is not a code of `{list}`")]
    UnknownCode { given: String, list: String },
}

/// The longest text that an error repeats, in characters.
pub const GIVEN_CHARS_MAX: usize = 40;

impl Value<'_> {
    /// Reads `text` as a value of `column`. Text is brought to NFC.
    ///
    /// # Errors
    /// [`ValueError`] says what was given, what is wanted and what to do. The reader of rows adds row and column.
    pub fn parse(schema: &Schema, column: &Column, text: &str) -> Result<Value<'static>, ValueError> {
        match &column.kind {
            ColumnKind::Text { chars_max, digits } => parse_text(text, *chars_max, *digits),
            ColumnKind::Integer { min, max } => {
                let number: i64 = text.parse().map_err(|_| ValueError::NotWholeNumber { given: cut(text) })?;
                if !(*min..=*max).contains(&number) {
                    return Err(ValueError::OutOfRange { number, min: *min, max: *max });
                }
                Ok(Value::Integer(number))
            }
            ColumnKind::Date => PartialDate::parse(text).map(Value::Date).ok_or_else(|| ValueError::NotADate { given: cut(text) }),
            ColumnKind::Code { list } => code_number(schema, list, text).map(Value::Code),
            ColumnKind::Flags { list } => {
                let mut bits = 0u64;
                for code in text.split('|').map(str::trim).filter(|code| !code.is_empty()) {
                    bits |= 1 << code_number(schema, list, code)?;
                }
                Ok(Value::Flags(bits))
            }
            ColumnKind::Area { .. } => {
                let fits = (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
                match text.parse() {
                    Ok(code) if fits => Ok(Value::Area(code)),
                    _ => Err(ValueError::NotAUnitCode { given: cut(text) }),
                }
            }
        }
    }

    /// The text that [`Self::parse`] reads back.
    pub fn to_text(&self, schema: &Schema, column: &Column) -> String {
        let list = column.kind.list().and_then(|list| schema.code_list(list));
        let code = |number: u32| list.and_then(|l| l.code(number)).map_or_else(|| format!("#{number}"), |c| c.code.clone());
        match self {
            Self::Text(text) => text.to_string(),
            Self::Integer(number) => number.to_string(),
            Self::Date(date) => date.to_string(),
            Self::Code(number) => code(*number),
            Self::Flags(bits) => (0..64).filter(|bit| bits & (1 << bit) != 0).map(code).collect::<Vec<_>>().join("|"),
            Self::Area(number) => format!("{number:05}"),
        }
    }
}

fn parse_text(text: &str, chars_max: usize, digits: Option<usize>) -> Result<Value<'static>, ValueError> {
    if let Some(character) = text.chars().find(|c| c.is_control()) {
        return Err(ValueError::ControlCharacter { character });
    }
    let normal: String = if is_nfc(text) { text.into() } else { text.nfc().collect() };
    let chars = normal.chars().count();
    if chars > chars_max {
        return Err(ValueError::TooLong { chars, chars_max });
    }
    if let Some(digits) = digits
        && (normal.len() != digits || !normal.bytes().all(|b| b.is_ascii_digit()))
    {
        return Err(ValueError::NotDigits { given: cut(text), digits });
    }
    Ok(Value::Text(Cow::Owned(normal)))
}

fn code_number(schema: &Schema, list: &str, text: &str) -> Result<u32, ValueError> {
    let known = schema.code_list(list).and_then(|list| list.number(text));
    known.ok_or_else(|| ValueError::UnknownCode { given: cut(text), list: list.into() })
}

/// At most [`GIVEN_CHARS_MAX`] characters of what was given, safe to print.
fn cut(text: &str) -> String {
    let mut short: String = text.chars().take(GIVEN_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(GIVEN_CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> PartialDate {
        PartialDate::parse(text).expect("a date")
    }

    #[test]
    fn a_date_may_lack_day_or_month_but_must_exist_in_the_calendar() {
        for text in ["2019", "2019-04", "2019-04-01", "2020-02-29"] {
            assert_eq!(date(text).to_string(), text);
            assert_eq!(PartialDate::unpack(date(text).pack()), Some(date(text)));
        }
        for text in ["", "19", "2019-13", "2019-00", "2019-02-29", "2019-04-31", "2019-4-1", "01/04/2019", "0001-01-01", "２０１９"] {
            assert_eq!(PartialDate::parse(text), None, "{text}");
        }
    }

    #[test]
    fn ages_count_completed_years() {
        assert_eq!(PartialDate::completed_years(date("2000-06-15"), date("2019-06-14")), 18);
        assert_eq!(PartialDate::completed_years(date("2000-06-15"), date("2019-06-15")), 19);
        assert_eq!(PartialDate::five_year_group(date("1900"), date("2019-04-01")), Some(20));
        assert_eq!(PartialDate::five_year_group(date("2020"), date("2019-04-01")), None);
    }

    #[test]
    fn month_numbers_are_ordered_like_months() {
        assert!(date("2018-12").month_number() < date("2019").month_number());
        assert!(date("2019").month_number() < date("2019-01").month_number());
        assert_eq!(PartialDate::from_month_number(date("2019-07").month_number()), Some(date("2019-07")));
    }
}
