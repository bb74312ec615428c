//! What a district holds, and what it enters in a month.
//!
//! Events are those of one month as `kho synth` makes them, by national rates. An event that changes somebody's record is followed
//! by a correction of a person's row: two for a marriage, one each for a birth, a death, a move, a divorce or a changed
//! attribute, none for what concerns health alone. Both come as the collaborators' slips do: one request for the events
//! and one for the corrections of each collaborator, who looks after 180 households. For 170,000 persons that makes some 3,200
//! rows in some 500 requests.

use std::path::Path;

use anyhow::Context as _;
use kho_node::entry::UnnamedColumns;
use kho_ops::client::BatchUpload;
use kho_synth::{Catalogue, Layout, SynthPlan};

use crate::persons::{Persons, TABLE};

/// Persons that a collaborator looks after: 180 households of 3.6.
const COLLABORATOR_PERSONS: u64 = 650;
const EVENT_TABLE: &str = "event";
const SEED: u64 = 2;

/// A district's records.
#[derive(Debug)]
pub struct District {
    /// What it holds before.
    pub persons: Persons,
    pub month: Month,
}

/// What it enters in a month.
#[derive(Debug)]
pub struct Month {
    pub events: u64,
    pub corrections: u64,
    pub slips: Vec<BatchUpload>,
}

impl District {
    /// Makes a district of so many persons with the units of a province. `dir` is used on the way and left empty.
    ///
    /// # Errors
    /// When the disk fails, or the province can't have so many.
    pub fn make(dir: &Path, province: &str, persons: u64) -> anyhow::Result<Self> {
        let plan = SynthPlan {
            catalogue: Catalogue::Legacy63,
            provinces: vec![province.into()],
            persons: Some(persons),
            seed: SEED,
            as_of: kho_synth::census_day(),
            event_months: 1,
        };
        kho_synth::write(&plan, dir, Layout::PerProvince, &mut |_, _| {})?;
        let read = |name: &str| {
            let path = dir.join(province).join(name);
            std::fs::read(&path).with_context(|| format!("{} can't be read", path.display()))
        };
        let (held, events) = (read("person.csv")?, read("event.csv")?);
        std::fs::remove_dir_all(dir)?;
        let persons = Persons::of_csv(held.into())?;
        let month = Month::of(&persons, &String::from_utf8(events)?)?;
        Ok(Self { persons, month })
    }
}

impl Month {
    /// From the month's events as CSV. Corrections go to persons spread evenly over the list.
    fn of(persons: &Persons, events: &str) -> anyhow::Result<Self> {
        let (header, rows) = events.split_once('\n').context("the events have no header")?;
        let events: Vec<&str> = rows.lines().collect();
        let corrected: u64 = events.iter().map(|event| corrections_of(event)).sum();
        let step = persons.count().checked_div(corrected).unwrap_or(0).max(1);
        let corrections: Vec<String> =
            (0..corrected).map(|number| corrected_row(persons.row(number * step % persons.count()))).collect::<anyhow::Result<_>>()?;
        let collaborators = usize::try_from(persons.count().div_ceil(COLLABORATOR_PERSONS))?;
        let mut slips = slips(EVENT_TABLE, header.trim_end(), &events, collaborators);
        let header = std::str::from_utf8(persons.header())?.trim_end();
        slips.extend(self::slips(TABLE, header, &corrections, collaborators));
        Ok(Self { events: events.len() as u64, corrections: corrected, slips })
    }

    pub fn rows(&self) -> u64 {
        self.events + self.corrections
    }
}

/// Rows of persons that change with an event; its type is the second field.
fn corrections_of(event: &str) -> u64 {
    match event.split(',').nth(1).unwrap_or_default() {
        "marriage" => 2,
        "birth" | "death" | "in_migration" | "out_migration" | "divorce" | "attribute_change" => 1,
        _ => 0,
    }
}

/// The row with another residence status, which is the third field from the end.
fn corrected_row(row: &[u8]) -> anyhow::Result<String> {
    let row = std::str::from_utf8(row)?.trim_end();
    let mut from_end = row.rsplitn(4, ',');
    let mut field = || from_end.next().context("a person has more than three columns");
    let (catalogue, commune, status, rest) = (field()?, field()?, field()?, field()?);
    let corrected = if status == "permanent" { "temporary" } else { "permanent" };
    Ok(format!("{rest},{corrected},{commune},{catalogue}"))
}

/// The rows in requests: as many to each collaborator, at least one.
fn slips(table: &str, header: &str, rows: &[impl AsRef<str>], collaborators: usize) -> Vec<BatchUpload> {
    let rows_each = rows.len().div_ceil(collaborators.max(1)).max(1);
    let slip = |(number, rows): (usize, &[_])| {
        let lines = rows.iter().map(|row: &_| AsRef::<str>::as_ref(row));
        let body = std::iter::once(header).chain(lines).collect::<Vec<_>>().join("\n") + "\n";
        BatchUpload {
            request_key: format!("slip-{table}-{number}"),
            table: Some(table.into()),
            content_type: "text/csv",
            unnamed: UnnamedColumns::Stay,
            body: body.into(),
        }
    };
    rows.chunks(rows_each).enumerate().map(slip).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(slips: &[BatchUpload], table: &str) -> Vec<String> {
        let of_table = slips.iter().filter(|slip| slip.table.as_deref() == Some(table));
        of_table
            .flat_map(|slip| String::from_utf8(slip.body.to_vec()).expect("text").lines().skip(1).map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn a_district_s_month_is_some_two_percent_of_its_persons_by_the_rates_of_synth() {
        let dir = tempfile::tempdir().expect("a folder");
        let district = District::make(&dir.path().join("district"), "01", 20_000).expect("made");
        let month = &district.month;
        // By the yearly rates of `kho_synth::events`: about 14,600 events and 7,300 changed records per 100,000 persons.
        assert!((200..300).contains(&month.events), "{}", month.events);
        assert!((90..160).contains(&month.corrections), "{}", month.corrections);
        assert_eq!(lines(&month.slips, EVENT_TABLE).len() as u64, month.events);
        assert_eq!(lines(&month.slips, TABLE).len() as u64, month.corrections);
        let slips_max = 2 * 20_000_u64.div_ceil(COLLABORATOR_PERSONS);
        assert!(month.slips.len() as u64 <= slips_max && month.slips.len() as u64 > slips_max / 2, "{}", month.slips.len());
        let mut keys: Vec<&str> = month.slips.iter().map(|slip| slip.request_key.as_str()).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), month.slips.len());
    }

    #[test]
    fn a_correction_changes_one_field_of_a_person_who_is_held() {
        let dir = tempfile::tempdir().expect("a folder");
        let district = District::make(&dir.path().join("district"), "01", 5_000).expect("made");
        let held: Vec<String> =
            (0..district.persons.count()).map(|row| String::from_utf8(district.persons.row(row).to_vec()).expect("text")).collect();
        for corrected in lines(&district.month.slips, TABLE) {
            let key = corrected.split(',').next().expect("a key");
            let before = held.iter().find(|row| row.split(',').next() == Some(key)).expect("held");
            let differing = before.trim_end().split(',').zip(corrected.split(',')).filter(|(before, after)| before != after).count();
            assert_eq!(differing, 1, "{before} {corrected}");
        }
    }

    #[test]
    fn what_concerns_health_alone_corrects_no_person() {
        assert_eq!(["1,marriage,", "2,birth,", "3,elderly_exam,", "4,pregnancy,"].map(corrections_of), [2, 1, 0, 0]);
    }
}
