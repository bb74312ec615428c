//! `kho bundle`: streams in a file, for links that are down. The segments are those that travel, with the same signatures.

use std::{fs, path::PathBuf, str::FromStr};

use clap::{Args, Subcommand};
use futures::StreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use kho_node::api::BundleImported;
use kho_storage::ids::{OriginId, SiteId, StreamSeq};
use serde_json::json;

use super::{
    files::{Existing, FreshFile, Secrecy},
    print,
};
use crate::{
    client::{BundleRange, ConnectionArgs},
    failure::{Failure, FailureKind, Verdict},
    language,
};

/// Carry streams by hand where a link is down.
#[derive(Debug, Subcommand)]
pub enum BundleCommand {
    /// Write what a site holds into a file that only the nodes of one site can read. Who carries it learns its size and whom it is for.
    #[command(
        after_help = "Examples:\n  kho bundle export --out district-340.kho\n  kho bundle export --out district-340.kho --origin 340 --from 340:1201\n  kho bundle export --out to-district.kho --for 340 --origin 340 --node https://10.0.0.5:7443"
    )]
    Export(ExportArgs),
    /// Bring such a file into the site that it was made for. What the site holds already is skipped, so it may be repeated.
    #[command(after_help = "Example, at the parent:\n  kho bundle import district-340.kho --node https://10.0.0.5:7443")]
    Import(ImportArgs),
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// File to write; never overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The site that shall read it: the author of the origins, or one above [default: this site's active parent]
    #[arg(long = "for", value_name = "SITE")]
    reader: Option<SiteId>,
    /// Origin to export; may be repeated [default: every origin that the site holds and the register leads to the reader]
    #[arg(long = "origin", value_name = "ORIGIN", value_delimiter = ',')]
    origins: Vec<OriginId>,
    /// First batch that the receiver lacks, as it says in `kho status`; may be repeated [default: the first that the reader has not acknowledged here]
    #[arg(long = "from", value_name = "ORIGIN:BATCH", value_delimiter = ',')]
    from: Vec<Missing>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// File that `kho bundle export` wrote
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Missing(OriginId, StreamSeq);

impl FromStr for Missing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (origin, seq) = text.split_once(':').ok_or("give ORIGIN:BATCH, as in 340:1201")?;
        Ok(Self(origin.parse().map_err(|error| format!("{error}"))?, seq.parse().map_err(|error| format!("{error}"))?))
    }
}

pub async fn run(command: BundleCommand) -> Result<Verdict, Failure> {
    match command {
        BundleCommand::Export(args) => export(args).await,
        BundleCommand::Import(args) => import(args).await,
    }
}

async fn export(args: ExportArgs) -> Result<Verdict, Failure> {
    let client = args.connection.open()?;
    let mut file = FreshFile::start(&args.out, Secrecy::Public, Existing::Refuse)?;
    let range = BundleRange {
        reader: args.reader,
        origins: args.origins,
        from: args.from.into_iter().map(|Missing(origin, seq)| (origin, seq)).collect(),
    };
    let response = client.export_bundle(&range).await?;
    let reader = response.headers().get("kho-bundle-for").and_then(|site| site.to_str().ok()).unwrap_or_default().to_owned();
    let bar = ProgressBar::new_spinner().with_style(
        ProgressStyle::with_template("{spinner} {binary_bytes}, {binary_bytes_per_sec}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    let (mut bytes, mut stream) = (0u64, response.bytes_stream());
    while let Some(chunk) = stream.next().await {
        // The file has no name yet, so half a bundle is never taken for a whole one.
        let chunk = chunk.map_err(|error| {
            Failure::new(
                FailureKind::Unreachable,
                format!("the bundle broke off after {bytes} bytes: {error}"),
                "give the same command again",
            )
        })?;
        file.write(&chunk)?;
        bytes += chunk.len() as u64;
        bar.set_position(bytes);
    }
    bar.finish_and_clear();
    file.finish()?;
    if args.json {
        print::json(&json!({ "file": args.out, "bytes": bytes, "for": reader }))?;
    } else {
        let (file, size) = (args.out.display(), print::bytes(bytes));
        print::line(format!("wrote {file} ({size}), encrypted to site {reader}; bring it in there with `kho bundle import`"))?;
    }
    Ok(Verdict::Good)
}

async fn import(args: ImportArgs) -> Result<Verdict, Failure> {
    let metadata = fs::metadata(&args.file)
        .map_err(|error| Failure::usage(format!("{} can't be read: {error}", args.file.display()), "check the name"))?;
    if !metadata.is_file() {
        return Err(Failure::usage(format!("{} is not a file", args.file.display()), "give the file that `kho bundle export` wrote"));
    }
    let imported = args.connection.open()?.import_bundle(&args.file, metadata.len()).await?;
    if args.json {
        print::json(&imported)?;
    } else {
        print::line(imported_text(&imported))?;
    }
    Ok(if imported.refused.is_empty() { Verdict::Good } else { Verdict::Bad })
}

fn imported_text(imported: &BundleImported) -> String {
    let mut table = print::table(&["origin", "next batch wanted"]);
    for (origin, next) in &imported.cursors {
        table.add_row([print::number(origin), print::number(print::grouped(*next))]);
    }
    let mut text =
        format!("{} segments read, {} batches adopted\n{table}", print::grouped(imported.segments), print::grouped(imported.batches));
    for refused in &imported.refused {
        text.push_str(&format!("\nrefused: {}", refused.text(language::current())));
    }
    text
}
