//! How answers look: tables for people, JSON for programs.

use std::io::{self, Write as _};

use comfy_table::{Cell, CellAlignment, LineStyle, Table, TableStyle};
use kho_messages::{Lang, report};
use kho_node::api::Completeness;
use serde::Serialize;

use crate::failure::Failure;

/// Lines above, below and under the header, none between rows: a population by age fits on a screen.
pub const TABLE_STYLE: TableStyle = TableStyle::new()
    .top_border(LineStyle::none().fill('─').junction('─'))
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .bottom_border(LineStyle::none().fill('─').junction('─'));

/// A table without lines between columns; wraps at the terminal's width only where it must.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(TABLE_STYLE);
    table.set_header(header.iter().copied());
    table
}

/// A cell of digits: right-aligned.
pub fn number(text: impl ToString) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// A line on standard output.
pub fn line(text: impl std::fmt::Display) -> Result<(), Failure> {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

/// JSON on standard output, indented.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(serde_json::to_string_pretty(value)?)
}

/// 1234567 as `1,234,567`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A value of an indicator: whole numbers grouped, others with two decimals, absent ones as a dash.
pub fn amount(value: Option<f64>) -> String {
    match value {
        None => "–".into(),
        Some(value) if !value.is_finite() => "–".into(),
        Some(value) => {
            let sign = if value < 0.0 { "-" } else { "" };
            let hundredths = (value.abs() * 100.0).round();
            // Beyond 2^53 a float has no exact whole numbers to group.
            if hundredths >= 9e15 {
                return value.to_string();
            }
            let (whole, rest) = (hundredths as u64 / 100, hundredths as u64 % 100);
            if value.fract() == 0.0 { format!("{sign}{}", grouped(whole)) } else { format!("{sign}{}.{rest:02}", grouped(whole)) }
        }
    }
}

/// Seconds as people say them: `12 s`, `5 min`, `3 h`, `9 days`.
pub fn age(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Bytes as people say them, in powers of 1024.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// What an answer rests on: `included 14 of 14 sites, complete up to …; oldest: …`, then one line a missing site, whose reason is in `lang`.
pub fn completeness(complete: &Completeness, lang: Lang) -> String {
    let up_to =
        complete.complete_up_to.as_deref().map_or_else(|| "complete up to no known time".into(), |time| format!("complete up to {time}"));
    let oldest = complete
        .oldest
        .as_ref()
        .map_or_else(String::new, |oldest| format!("; oldest: {} (site {}), {} old", oldest.name, oldest.site, age(oldest.age_seconds)));
    let mut printed = format!("included {} of {} sites, {up_to}{oldest}", complete.included, complete.expected);
    for missing in &complete.missing {
        printed.push_str(&format!("\n  missing: {} (site {}): {}", missing.name, missing.site, report(lang, &missing.reason)));
    }
    printed.push_str(&format!("\nread {} at position {} by {}", complete.read, complete.applied, complete.answered_by));
    printed
}

#[cfg(test)]
mod tests {
    use kho_node::api::{MissingReason, MissingSite, SiteAge};

    use super::*;

    #[test]
    fn numbers_are_shown_as_people_read_them() {
        assert_eq!([0, 999, 1_000, 96_208_984].map(grouped), ["0", "999", "1,000", "96,208,984"]);
        assert_eq!(
            [None, Some(f64::NAN), Some(1234.0), Some(11.506), Some(-0.5), Some(1e300)].map(amount)[..5],
            ["–", "–", "1,234", "11.51", "-0.50"]
        );
        assert_eq!([0, 119, 120, 7_200, 172_800].map(age), ["0 s", "119 s", "2 min", "2 h", "2 days"]);
        assert_eq!([5, 1536, u64::MAX].map(bytes), ["5 B", "1.5 KiB", "16777216.0 TiB"]);
    }

    #[test]
    fn promise_9_an_answer_is_printed_with_what_it_rests_on() {
        let complete = Completeness {
            included: 13,
            expected: 14,
            complete_up_to: Some("2019-04-01T00:00:00Z".into()),
            oldest: Some(SiteAge { site: 7, name: "Tiền Hải".into(), up_to: "2019-04-01T00:00:00Z".into(), age_seconds: 12 }),
            missing: vec![MissingSite { site: 9, name: "Thái Thụy".into(), reason: MissingReason::NothingArrived { origin: 9 } }],
            read: "local".into(),
            applied: 41,
            answered_by: "site 1 node 2".into(),
        };
        let text = completeness(&complete, Lang::En);
        assert!(
            text.starts_with("included 13 of 14 sites, complete up to 2019-04-01T00:00:00Z; oldest: Tiền Hải (site 7), 12 s old\n"),
            "{text}"
        );
        assert!(text.contains("missing: Thái Thụy (site 9): nothing of origin 9 has arrived yet"), "{text}");
    }
}
