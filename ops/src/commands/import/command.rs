//! The words of `kho import`: which files, how, and what is said at the end.

use std::{path::PathBuf, time::Instant};

use clap::Args;
use kho_node::entry::UnnamedColumns;

use super::{
    progress::ImportProgress,
    records::RecordForm,
    sources::{SourceChoice, find},
    summary::{FileEnd, ImportSummary},
    upload::{ImportPlan, import_file},
};
use crate::{
    client::ConnectionArgs,
    commands::print,
    failure::{Failure, Verdict},
};

const EXAMPLES: &str = "\
Examples:
  kho import person.csv
  kho import household.csv.gz person.csv.gz --jobs 8
  kho import slip-2019-04.csv --table event
  kho import moves.csv --table person --clear-unnamed --dry-run
  kho import population/vn/34/340          (household.csv, person.csv and event.csv in it and below)
  zcat changes.ndjson.gz | kho import -

A file changes the columns that it names: by its header, or in NDJSON by each row. An empty field clears a column. Columns that it
does not name stay as they are, and a new row needs every required column.

An import may be stopped and repeated at any time: the same records at the same place of a file are entered once.
Exit code 1 when a batch was refused; its findings name the file's own lines and rows.";

/// Enter files of records: CSV or NDJSON, gzipped or not, with progress, resume and a summary.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ImportArgs {
    /// Files, folders, or - for standard input
    #[arg(required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,

    /// Table of CSV files [default: the file's name, as in person.csv]
    #[arg(long, value_name = "TABLE")]
    table: Option<String>,

    /// How the files are written [default: by the file's name]
    #[arg(long, value_enum)]
    format: Option<RecordForm>,

    /// Rows of a batch, which is taken whole or refused whole
    #[arg(long, value_name = "ROWS", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..=20_000))]
    batch_rows: u64,

    /// Batches under way at once. Take 1 for a file that changes the same row twice: with more, batches may be applied in
    /// another order than the file's
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,

    /// Go on behind a refused batch instead of stopping there
    #[arg(long)]
    keep_going: bool,

    /// Write no FILE.kho-import beside the files
    #[arg(long)]
    no_journal: bool,

    /// Begin at the files' start, whatever FILE.kho-import says
    #[arg(long)]
    restart: bool,

    /// Replace rows whole: columns that a file does not name are cleared. Without this they stay as they are
    #[arg(long)]
    clear_unnamed: bool,

    /// Enter nothing: check the files, and say how many fields that hold something now would be emptied. What a row asks of one that
    /// stands is not checked
    #[arg(long)]
    dry_run: bool,

    /// A word that makes records enter again that this file entered before, as after they were changed otherwise
    #[arg(long, value_name = "WORD", default_value = "", hide_default_value = true)]
    again: String,

    /// Print the summary as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: ConnectionArgs,
}

pub async fn run(args: ImportArgs) -> Result<Verdict, Failure> {
    let sources = find(&args.files, &SourceChoice { table: args.table.clone(), form: args.format })?;
    let client = args.connection.open()?;
    // Fails quickly where a batch would be tried for minutes.
    client.probe().await?;
    let identity = client.identity();
    let site = identity.site().map_or_else(|| "no site".into(), |site| format!("site {site}"));
    let plan = ImportPlan {
        target: format!("{site} of tree {}", identity.tree()),
        batch_rows: args.batch_rows,
        jobs: usize::from(args.jobs),
        keep_going: args.keep_going,
        // What is only checked is no progress.
        journal: !args.no_journal && !args.dry_run,
        dry_run: args.dry_run,
        restart: args.restart,
        unnamed: if args.clear_unnamed { UnnamedColumns::Clear } else { UnnamedColumns::Stay },
        again: args.again,
    };
    let started = Instant::now();
    let mut summary = ImportSummary::default();
    let mut progress = ImportProgress::start(sources.iter().map(super::sources::Source::size).sum());
    let mut failed = None;
    for source in &sources {
        match import_file(&client, source, &plan, &mut summary, &mut progress).await {
            Ok(FileEnd::Stopped) => break,
            Ok(_) => {}
            Err(failure) => {
                failed = Some(failure);
                break;
            }
        }
    }
    progress.finish();
    summary.took(started.elapsed());
    // What came in is reported also when the rest did not.
    if !summary.files.is_empty() {
        if args.json { print::json(&summary)? } else { print::line(summary.text())? }
    }
    match failed {
        Some(failure) => Err(failure),
        None if summary.any_refused() => Ok(Verdict::Bad),
        None => Ok(Verdict::Good),
    }
}
