//! Writes a planned population to a folder: `<province>/<district>/` or `<province>/`, each with `household.csv`,
//! `person.csv` and `event.csv` (UTF-8, header, RFC 4180, rows in key order), and `summary.json` on top.
//!
//! Memory holds one commune at a time. `summary.json` is written last: a folder without it was not finished.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::commune::{CommuneCounts, CommuneRows, EVENT_HEADER, HOUSEHOLD_HEADER, PERSON_HEADER, Workshop};
use crate::error::SynthError;
use crate::ethnicity::EthnicMix;
use crate::plan::{CommunePlan, Layout, SynthPlan, plan_communes_of};
use crate::summary::SynthSummary;
use crate::units::Units;

/// Writes the plan's population with the units built into the program. `progress` gets the persons written and the
/// persons planned after every commune. `out` must not exist or be empty.
pub fn write(plan: &SynthPlan, out: &Path, layout: Layout, progress: &mut dyn FnMut(u64, u64)) -> Result<SynthSummary, SynthError> {
    write_units(&Units::embedded(plan.catalogue)?, plan, out, layout, progress)
}

/// As [`write()`], with units read from elsewhere.
pub fn write_units(
    units: &Units,
    plan: &SynthPlan,
    out: &Path,
    layout: Layout,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<SynthSummary, SynthError> {
    let communes = plan_communes_of(units, plan)?;
    let folders: Vec<String> = communes.iter().map(|commune| layout.folder(&commune.unit)).collect::<Result<_, SynthError>>()?;
    claim_folder(out)?;
    let workshop = Workshop::open(plan)?;
    let total = communes.iter().map(|commune| commune.persons).sum();
    let mut summary = SynthSummary::of_plan(plan);
    let mut rows = CommuneRows::default();
    // Per home province, rebuilt only when it changes.
    let mut mix = (String::new(), EthnicMix::of_province(""));
    let mut at = 0;
    while at < communes.len() {
        let folder = &folders[at];
        let end = at + folders[at..].iter().take_while(|other| *other == folder).count();
        let mut area = AreaFiles::create(&out.join(folder))?;
        summary.begin_area(folder, &communes[at].unit, layout);
        for commune in &communes[at..end] {
            if mix.0 != commune.unit.home_province {
                mix = (commune.unit.home_province.clone(), EthnicMix::of_province(&commune.unit.home_province));
            }
            let counts = write_commune(&workshop, commune, &mix.1, &mut rows, &mut area)?;
            summary.add(commune.region, counts);
            progress(summary.persons, total);
        }
        area.finish()?;
        at = end;
    }
    write_summary(&summary, &out.join("summary.json"))?;
    Ok(summary)
}

fn write_commune(
    workshop: &Workshop,
    commune: &CommunePlan,
    mix: &EthnicMix,
    rows: &mut CommuneRows,
    area: &mut AreaFiles,
) -> Result<CommuneCounts, SynthError> {
    let counts = workshop.write_commune(commune, mix, rows);
    area.append(rows)?;
    Ok(counts)
}

fn claim_folder(out: &Path) -> Result<(), SynthError> {
    fs::create_dir_all(out).map_err(|error| SynthError::output(out, error))?;
    let mut entries = fs::read_dir(out).map_err(|error| SynthError::output(out, error))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(SynthError::OutputNotEmpty { path: out.to_owned() }),
    }
}

fn write_summary(summary: &SynthSummary, path: &Path) -> Result<(), SynthError> {
    let mut text = serde_json::to_string_pretty(summary).map_err(|error| SynthError::output(path, error.into()))?;
    text.push('\n');
    fs::write(path, text).map_err(|error| SynthError::output(path, error))
}

/// The three files of one folder.
struct AreaFiles {
    files: [(PathBuf, File); 3],
}

impl AreaFiles {
    fn create(folder: &Path) -> Result<Self, SynthError> {
        fs::create_dir_all(folder).map_err(|error| SynthError::output(folder, error))?;
        let create = |name: &str, header: &str| {
            let path = folder.join(name);
            let file = File::create_new(&path).and_then(|mut file| file.write_all(header.as_bytes()).map(|()| file));
            match file {
                Ok(file) => Ok((path, file)),
                Err(error) => Err(SynthError::output(path, error)),
            }
        };
        let files = [create("household.csv", HOUSEHOLD_HEADER)?, create("person.csv", PERSON_HEADER)?, create("event.csv", EVENT_HEADER)?];
        Ok(Self { files })
    }

    /// Whole communes are written at once, so the files need no buffer of their own.
    fn append(&mut self, rows: &CommuneRows) -> Result<(), SynthError> {
        for ((path, file), rows) in self.files.iter_mut().zip([&rows.household, &rows.person, &rows.event]) {
            file.write_all(rows.as_bytes()).map_err(|error| SynthError::output(&*path, error))?;
        }
        Ok(())
    }

    fn finish(self) -> Result<(), SynthError> {
        for (path, mut file) in self.files {
            file.flush().map_err(|error| SynthError::output(path, error))?;
        }
        Ok(())
    }
}
