//! `kho synth`: the arguments, the progress bar and the printed summary.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use comfy_table::{Cell, CellAlignment, Table};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::civil::Date;
use kho_ops::commands::print::{TABLE_STYLE, grouped};

use crate::catalogue::Catalogue;
use crate::plan::{Layout, SynthPlan};
use crate::summary::SynthSummary;
use crate::units::Units;
use crate::writer::write_units;

const EXAMPLES: &str = "\
Examples:
  One province before 1 July 2025, scaled to 200,000 persons, one folder per district:
    kho synth --province 75 --persons 200000 --seed 1 --out population

  Two provinces of today at their census size, with a year of events:
    kho synth --catalogue 2025-34 --province 56 --province 68 --events-months 12 --out population

  The nation, 96,208,984 persons (about 17 GB):
    kho synth --seed 1 --out population --json

Everything written is invented; only the units, the totals and the age and sex structure are real.";

/// Write a synthetic population: real units, census totals, plausible people.
#[derive(Debug, Parser)]
#[command(name = "kho-synth", bin_name = "kho synth", version, after_help = EXAMPLES)]
pub struct SynthArgs {
    /// Province code, repeatable or separated by commas [default: the nation]
    #[arg(long = "province", value_name = "CODE", value_delimiter = ',')]
    pub provinces: Vec<String>,

    /// Persons over all chosen provinces [default: their 2019 census count]
    #[arg(long, value_name = "COUNT")]
    pub persons: Option<u64>,

    /// The same seed writes the same bytes
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Folder to write to; it must be empty or not exist
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,

    /// Division of the country
    #[arg(long, value_enum, default_value_t = Catalogue::Legacy63)]
    pub catalogue: Catalogue,

    /// The day the population is described
    #[arg(long, value_name = "YYYY-MM-DD", default_value = "2019-04-01")]
    pub as_of: Date,

    /// Months of events before that day, at most 36
    #[arg(long, value_name = "MONTHS", default_value_t = 3)]
    pub events_months: u32,

    /// One folder per province even where there are districts
    #[arg(long)]
    pub per_province: bool,

    /// Read the unit files from this folder instead of those built in
    #[arg(long, value_name = "DIR")]
    pub catalogues: Option<PathBuf>,

    /// Print the summary as JSON
    #[arg(long)]
    pub json: bool,
}

/// Writes the population, showing progress on standard error and the summary on standard output.
pub fn run(args: SynthArgs) -> anyhow::Result<()> {
    let units = match &args.catalogues {
        Some(dir) => Units::from_dir(args.catalogue, dir)?,
        None => Units::embedded(args.catalogue)?,
    };
    let layout = if args.per_province { Layout::PerProvince } else { Layout::usual(args.catalogue) };
    let plan = SynthPlan {
        catalogue: args.catalogue,
        provinces: args.provinces,
        persons: args.persons,
        seed: args.seed,
        as_of: args.as_of,
        event_months: args.events_months,
    };
    let bar = ProgressBar::no_length().with_style(
        ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len} persons, {per_sec}, {eta} left")
            .context("the progress bar's template is malformed")?,
    );
    let summary = write_units(&units, &plan, &args.out, layout, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    let text = if args.json { serde_json::to_string_pretty(&summary)? } else { table(&summary) };
    writeln!(std::io::stdout(), "{text}").context("the summary cannot be printed; it is also in summary.json")?;
    Ok(())
}

fn table(summary: &SynthSummary) -> String {
    let mut table = Table::new();
    table.load_style(TABLE_STYLE);
    table.set_header(["region", "whole region, census 2019", "persons", "households", "events"]);
    let number = |count: u64| Cell::new(grouped(count)).set_alignment(CellAlignment::Right);
    for (region, counts) in &summary.regions {
        table.add_row(vec![
            Cell::new(region.name()),
            number(counts.census_persons),
            number(counts.persons),
            number(counts.households),
            number(counts.events),
        ]);
    }
    let census = summary.regions.values().map(|region| region.census_persons).sum();
    table.add_row(vec![Cell::new("total"), number(census), number(summary.persons), number(summary.households), number(summary.events)]);
    format!(
        "{table}\n{} communes in {} folders, catalogue {}, seed {}",
        grouped(summary.communes),
        grouped(summary.areas.len() as u64),
        summary.catalogue_version,
        summary.seed
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_shows_examples_and_all_are_accepted() {
        assert_eq!(kho_ops::help_rules::check::<SynthArgs>("kho synth"), 3);
    }

    #[test]
    fn the_arguments_say_what_is_written() {
        let line = "kho --province 75,56 --persons 200000 --seed 1 --out DIR --catalogue 2025-34 --events-months 3 --json";
        let synth = SynthArgs::try_parse_from(line.split(' ')).expect("as documented");
        assert_eq!((synth.provinces, synth.persons), (vec!["75".to_owned(), "56".to_owned()], Some(200_000)));
        assert_eq!((synth.catalogue, synth.as_of), (Catalogue::Units2025, Date::constant(2019, 4, 1)));
    }
}
