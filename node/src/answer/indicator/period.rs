//! Periods of whole months.

use std::fmt;

use kho_storage::schema::PartialDate;

/// A calendar month, counted from the year 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(u32);

/// July: what an unknown month counts as, the middle of its year.
pub(super) const MIDDLE_OF_YEAR: u8 = 7;

impl Month {
    /// The month of `date`; July when it is unknown.
    pub fn of(date: PartialDate) -> Self {
        let month = if date.month == 0 { MIDDLE_OF_YEAR } else { date.month };
        Self(u32::from(date.year) * 12 + u32::from(month) - 1)
    }

    /// The month of a cube's month number; `None` for 0.
    pub fn numbered(number: u16) -> Option<Self> {
        PartialDate::from_month_number(number).map(Self::of)
    }

    /// So many months earlier.
    pub fn earlier(self, months: u32) -> Self {
        Self(self.0.saturating_sub(months))
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0 / 12, self.0 % 12 + 1)
    }
}

/// Months from `first` to `last`, both included; open where absent.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    pub first: Option<Month>,
    pub last: Option<Month>,
}

impl Period {
    /// The twelve whole months before the month of `date`.
    pub fn year_before(date: PartialDate) -> Self {
        let month = Month::of(date);
        Self { first: Some(month.earlier(12)), last: Some(month.earlier(1)) }
    }

    /// Whether something of `month` belongs to it. What has no date belongs only to all time.
    pub fn holds(&self, month: Option<Month>) -> bool {
        match month {
            Some(month) => self.first.is_none_or(|first| first <= month) && self.last.is_none_or(|last| month <= last),
            None => *self == Self::default(),
        }
    }

    /// Whether `month` lies behind the middle; the middle month of an odd number of months does not. Never in an open period.
    pub fn lies_behind_middle(&self, month: Option<Month>) -> bool {
        match (self.first, self.last, month) {
            (Some(first), Some(last), Some(month)) => 2 * month.0 > first.0 + last.0,
            _ => false,
        }
    }

    /// How many months it has; `None` when it is open.
    pub fn months(&self) -> Option<u32> {
        Some(self.last?.0.checked_sub(self.first?.0)? + 1)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.last) {
            (Some(first), Some(last)) if first == last => first.fmt(f),
            (Some(first), Some(last)) => write!(f, "{first} to {last}"),
            (Some(first), None) => write!(f, "from {first}"),
            (None, Some(last)) => write!(f, "up to {last}"),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn month(text: &str) -> Month {
        Month::of(PartialDate::parse(text).expect("a date"))
    }

    #[test]
    fn a_period_includes_both_its_ends_and_halves_in_the_middle() {
        let year = Period { first: Some(month("2019-01")), last: Some(month("2019-12")) };
        assert_eq!((year.months(), year.to_string()), (Some(12), "2019-01 to 2019-12".into()));
        assert!(
            year.holds(Some(month("2019-01")))
                && year.holds(Some(month("2019-12")))
                && !year.holds(Some(month("2020-01")))
                && !year.holds(None)
        );
        assert!(!year.lies_behind_middle(Some(month("2019-06"))) && year.lies_behind_middle(Some(month("2019-07"))));
        let quarter = Period { first: Some(month("2019-01")), last: Some(month("2019-03")) };
        assert!(!quarter.lies_behind_middle(Some(month("2019-02"))) && quarter.lies_behind_middle(Some(month("2019-03"))));
        assert_eq!(Period::year_before(PartialDate::parse("2020-01-15").expect("a date")), year);
        assert_eq!(month("2019"), month("2019-07"), "an unknown month counts as the middle of the year");
        assert!(Period::default().holds(None));
    }
}
