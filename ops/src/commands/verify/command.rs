//! The words of `kho verify`, and its order: status, proofs, comparison, rows.

use std::{collections::BTreeSet, time::Duration};

use clap::Args;
use futures::future::try_join_all;
use kho_node::api::StoodAt;
use kho_storage::ids::{OriginId, StreamSeq};

use super::{
    compare::{CommonPlace, HeldStream, common_place, differing},
    drill::drill,
    proofs::{SiteView, prove},
    report::{Comparison, OriginComparison, VerifyReport},
};
use crate::{
    client::{CallError, ConnectionArgs},
    commands::print,
    failure::{Failure, Verdict},
};

/// A batch may be trimmed between two requests. Then the sites are compared again at a newer batch.
const COMPARE_TRIES_MAX: u32 = 6;
const COMPARE_PAUSE: Duration = Duration::from_millis(500);

const EXAMPLES: &str = "\
Examples:
  kho verify --node https://10.0.0.5:7443
  kho verify --node https://district:7443 --node https://province:7443 --node https://centre:7443
  kho verify --origin 340 --node https://district:7443 --node https://province:7443 --json

Every --node is queried; they may belong to different sites or to the same. Exit code 1 when anything differs or could not be compared.";

/// Recompute digests from the rows on disk and cubes from the rows, compare nodes along the tree, and find the rows that differ.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArgs {
    /// Origin to verify; may be repeated [default: every origin that the nodes hold]
    #[arg(long = "origin", value_name = "ORIGIN", value_delimiter = ',')]
    origins: Vec<OriginId>,

    /// Differing rows to list for an origin
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    rows_max: usize,

    /// Only compare what nodes keep, recompute nothing
    #[arg(long)]
    skip_proofs: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: ConnectionArgs,
}

pub async fn run(args: VerifyArgs) -> Result<Verdict, Failure> {
    let clients = args.connection.open_each()?;
    let mut views = try_join_all(clients.into_iter().map(SiteView::query)).await?;
    let mut report = VerifyReport {
        sites: views.iter().map(|view| view.label.clone()).collect(),
        proofs_skipped: args.skip_proofs,
        ..VerifyReport::default()
    };
    if !args.skip_proofs {
        report.proofs = prove(&views, &args.origins).await?;
        for view in &mut views {
            view.refresh().await?;
        }
    }
    let origins: BTreeSet<OriginId> = views.iter().flat_map(|view| view.origins(&args.origins)).collect();
    for origin in origins {
        let comparison = compare_origin(&mut views, origin).await?;
        let broken = report.proofs.iter().any(|proof| proof.proof.origin == origin && !proof.holds);
        if broken || matches!(comparison, Comparison::Different { .. }) {
            find_rows(&views, origin, args.rows_max, &mut report).await?;
        }
        report.comparisons.push(OriginComparison { origin, comparison });
    }
    let verdict = report.judge();
    if args.json {
        print::json(&report)?;
    } else {
        print::line(report.text())?;
    }
    Ok(verdict)
}

/// Compares what stood after the newest batch that all holders hold.
async fn compare_origin(views: &mut [SiteView], origin: OriginId) -> Result<Comparison, CallError> {
    let mut why = String::new();
    for attempt in 0..COMPARE_TRIES_MAX {
        if attempt > 0 {
            tokio::time::sleep(COMPARE_PAUSE).await;
            for view in &mut *views {
                view.refresh().await?;
            }
        }
        let held = held_by(views, origin);
        let (seq, sites) = match common_place(&held) {
            CommonPlace::Alone => {
                let site = held.first().map_or_else(String::new, |held| views[held.site].label.clone());
                return Ok(Comparison::Alone { site });
            }
            CommonPlace::OtherEpochs => {
                why = "the nodes stand in different epochs".into();
                continue;
            }
            CommonPlace::At { seq, sites } => (seq, sites),
        };
        let answers = try_join_all(sites.iter().map(|site| views[*site].client.stood_at(origin, seq))).await?;
        let stood: Option<Vec<(usize, StoodAt)>> =
            sites.iter().copied().zip(answers).map(|(site, stood)| stood.map(|stood| (site, stood))).collect();
        match stood {
            Some(stood) => return Ok(compared(views, seq, &stood)),
            None => why = format!("a node no longer keeps batch {seq}, the newest that all of them hold; let the slowest catch up"),
        }
    }
    Ok(Comparison::NotComparable { why })
}

fn held_by(views: &[SiteView], origin: OriginId) -> Vec<HeldStream> {
    let mut held = Vec::new();
    for (site, view) in views.iter().enumerate() {
        if let Some(stream) = view.status.streams.iter().find(|stream| stream.origin == origin.0 && stream.seq > 0) {
            held.push(HeldStream {
                site,
                epoch: stream.epoch.clone(),
                seq: StreamSeq(stream.seq),
                transferring: stream.state.is_transferring(),
            });
        }
    }
    held
}

fn compared(views: &[SiteView], seq: StreamSeq, stood: &[(usize, StoodAt)]) -> Comparison {
    let sites = stood.iter().map(|(site, _)| views[*site].label.clone()).collect();
    if differing(stood).is_empty() {
        Comparison::Equal { seq, sites, digest: stood.first().map_or_else(String::new, |(_, stood)| stood.digest.clone()) }
    } else {
        Comparison::Different { seq, sites, digests: stood.iter().map(|(_, stood)| stood.digest.clone()).collect() }
    }
}

async fn find_rows(views: &[SiteView], origin: OriginId, rows_max: usize, report: &mut VerifyReport) -> Result<(), Failure> {
    let holders: Vec<&SiteView> = held_by(views, origin).into_iter().map(|held| &views[held.site]).collect();
    if holders.len() < 2 {
        report.notes.push(format!("to find the rows of origin {origin} that changed, give a --node of another site that holds it"));
        return Ok(());
    }
    let drilled = drill(&holders, origin, rows_max).await?;
    report.rows.extend(drilled.rows);
    report.tokens.extend(drilled.tokens);
    report.notes.extend(drilled.notes);
    Ok(())
}
