//! A measured number with its unit, and how it is shown.

use std::fmt;

use kho_ops::commands::print::grouped;
use serde::Serialize;

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    RowsPerSecond,
    WritesPerSecond,
    Seconds,
    Bytes,
    BytesPerRow,
    BytesPerSecond,
    Rows,
    PerSecond,
    /// Of one core's time.
    Percent,
}

/// A measured number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figure {
    pub value: f64,
    pub unit: Unit,
}

impl Figure {
    pub fn new(value: f64, unit: Unit) -> Self {
        Self { value, unit }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unit {
            Unit::RowsPerSecond => write!(f, "{} rows/s", whole(self.value)),
            Unit::WritesPerSecond => write!(f, "{} writes/s", whole(self.value)),
            Unit::Seconds => f.write_str(&seconds(self.value)),
            Unit::Bytes => f.write_str(&bytes(self.value)),
            Unit::BytesPerRow => write!(f, "{:.1} B/row", self.value),
            Unit::BytesPerSecond => write!(f, "{}/s", bytes(self.value)),
            Unit::Rows => f.write_str(&whole(self.value)),
            Unit::PerSecond => write!(f, "{:.1}/s", self.value),
            Unit::Percent => write!(f, "{:.3} %", self.value),
        }
    }
}

/// Seconds as people say them: `412 µs`, `12.3 ms`, `2.34 s`.
pub fn seconds(value: f64) -> String {
    match value {
        value if value < 0.001 => format!("{:.0} µs", value * 1e6),
        value if value < 1.0 => format!("{:.1} ms", value * 1e3),
        value => format!("{value:.2} s"),
    }
}

/// Bytes in millions, as the goals name them.
pub fn megabytes(value: f64) -> String {
    format!("{:.1} MB", value / 1e6)
}

/// Bytes as people say them: `17 B`, `4.2 kB`, `80.0 MB`, `12.50 GB`.
fn bytes(value: f64) -> String {
    match value {
        value if value < 1e3 => format!("{value:.0} B"),
        value if value < 1e6 => format!("{:.1} kB", value / 1e3),
        value if value < 1e10 => megabytes(value),
        value => format!("{:.2} GB", value / 1e9),
    }
}

fn whole(value: f64) -> String {
    // A rate is never negative, and far below 2^53.
    grouped(value.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_in_units_that_people_read() {
        let shown = |value, unit| Figure::new(value, unit).to_string();
        assert_eq!(shown(12_345.6, Unit::RowsPerSecond), "12,346 rows/s");
        assert_eq!(shown(999.4, Unit::WritesPerSecond), "999 writes/s");
        assert_eq!([0.000_412, 0.0123, 2.3449].map(|value| shown(value, Unit::Seconds)), ["412 µs", "12.3 ms", "2.34 s"]);
        assert_eq!(shown(79_950_000.0, Unit::Bytes), "80.0 MB");
        assert_eq!([17.0, 4_210.0, 12.5e9].map(|value| shown(value, Unit::Bytes)), ["17 B", "4.2 kB", "12.50 GB"]);
        assert_eq!(shown(61.25, Unit::BytesPerRow), "61.2 B/row");
        assert_eq!(shown(61.2, Unit::BytesPerSecond), "61 B/s");
        assert_eq!(shown(10_000_000.0, Unit::Rows), "10,000,000");
        assert_eq!(shown(0.0123, Unit::Percent), "0.012 %");
        assert_eq!(shown(70.04, Unit::PerSecond), "70.0/s");
    }
}
