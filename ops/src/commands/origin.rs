//! `kho fork` and `kho origin`: what was refused and kept is shown, what a site that was set back had acknowledged, a stopped origin is
//! resumed, and what entered wrongly is taken out.

use clap::{Args, Subcommand};
use kho_node::api::{EvidenceKept, EvidenceReviewed, Review, SiteSetBack};
use kho_storage::ids::OriginId;
use serde_json::json;

use super::print;
use crate::{
    client::ConnectionArgs,
    failure::{Failure, Verdict},
    language,
};

/// Show second histories and other evidence.
#[derive(Debug, Subcommand)]
pub enum ForkCommand {
    /// List what a site refused and kept, and what a site that was set back had acknowledged.
    #[command(
        after_help = "Example:\n  kho fork list --node https://10.0.0.5:7443\n\nExit code 1 when there is any that nobody has reviewed, or the site was set back."
    )]
    List(ListArgs),
    /// Note that the evidence of an origin was examined. All of it is kept, and status reads healthy again until newer evidence comes. The
    /// site and the audit log keep who reviewed it, and why.
    #[command(
        after_help = "Examples:\n  kho fork review 12 --reason a-failed-disk-at-site-4 --dry-run --node https://10.0.0.5:7443\n  kho fork review 12 --reason a-failed-disk-at-site-4 --node https://10.0.0.5:7443"
    )]
    Review(ReasonedArgs),
    /// List the rows that a site that was set back had acknowledged, by key, without what they say. Needs a certificate that may read
    /// rows.
    #[command(after_help = "Example, at the site that was set back:\n  kho fork rows 340 --node https://10.0.0.5:7443")]
    Rows(ResumeArgs),
}

/// Act on one origin at a site.
#[derive(Debug, Subcommand)]
pub enum OriginCommand {
    /// Resume an origin that was stopped. Its evidence stays; the same fault stops it again.
    #[command(after_help = "Example:\n  kho origin resume 12 --node https://10.0.0.5:7443")]
    Resume(ResumeArgs),
    /// Give up a whole-origin transfer that does not come to its end. It starts anew when it is still needed.
    #[command(after_help = "Example:\n  kho origin abandon-transfer 12 --node https://10.0.0.5:7443")]
    AbandonTransfer(ResumeArgs),
    /// Take an origin out of a site through which the register does not lead it: rows, batches and evidence. The audit log keeps the reason.
    #[command(
        after_help = "Examples:\n  kho origin discard 12 --reason brought-by-a-wrong-bundle --dry-run --node https://10.0.0.5:7443\n  kho origin discard 12 --reason brought-by-a-wrong-bundle --node https://10.0.0.5:7443"
    )]
    Discard(ReasonedArgs),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The origin's number
    origin: OriginId,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub struct ReasonedArgs {
    /// The origin's number
    origin: OriginId,
    /// Why, in at most 200 characters
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Change nothing, and only show what the order would do
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub async fn run_fork(command: ForkCommand) -> Result<Verdict, Failure> {
    match command {
        ForkCommand::List(args) => list(args).await,
        ForkCommand::Review(args) => review(args).await,
        ForkCommand::Rows(args) => rows(args).await,
    }
}

async fn list(args: ListArgs) -> Result<Verdict, Failure> {
    let client = args.connection.open()?;
    let (set_backs, kept) = (client.set_backs().await?, client.evidence().await?);
    if args.json {
        print::json(&json!({ "set_backs": set_backs, "evidence": kept }))?;
    } else if kept.is_empty() && set_backs.is_empty() {
        print::line("nothing was refused and kept, and this site was not set back")?;
    } else {
        set_backs.iter().try_for_each(|noted| print::line(set_back(noted)))?;
        print_evidence(&kept)?;
    }
    let is_settled = set_backs.is_empty() && kept.iter().all(|evidence| evidence.review.is_some());
    Ok(if is_settled { Verdict::Good } else { Verdict::Bad })
}

async fn review(args: ReasonedArgs) -> Result<Verdict, Failure> {
    let reviewed = args.connection.open()?.review_evidence(args.origin, &args.reason, args.dry_run).await?;
    if args.json {
        print::json(&reviewed)?;
    } else {
        let EvidenceReviewed { origin, pieces, new_pieces, dry_run } = reviewed;
        let done = if dry_run { "would count as reviewed" } else { "count as reviewed, and are kept" };
        print::line(format!("origin {origin}: {pieces} pieces of evidence {done}; {new_pieces} of them are new"))?;
    }
    Ok(Verdict::Good)
}

/// What was shown, what was acknowledged meanwhile, and what to do.
fn set_back(noted: &SiteSetBack) -> String {
    let SiteSetBack { site, origin, shown_seq, seq, noted_at, agreed, compared, .. } = noted;
    let shown_by = noted.shown_by.text(language::current());
    let branch = match (noted.acknowledged_from, noted.acknowledged_to) {
        (Some(from), Some(to)) => {
            let how = if *compared { "differ from what was shown" } else { "may differ from what was shown" };
            format!("batches {from} to {to} were acknowledged here and {how}: `kho fork rows {origin}` names their rows")
        }
        _ => "nothing was acknowledged here that the shown history lacks".to_owned(),
    };
    let from = agreed + 1;
    format!(
        "origin {origin} was set back: {shown_by} showed batch {shown_seq}, here it stood at batch {seq} ({noted_at}); entry is closed\n  {branch}\n  \
         what to do: at the parent `kho bundle export --for {site} --origin {origin} --from {origin}:{from} --out back.kho`, here `kho bundle import back.kho`"
    )
}

async fn rows(args: ResumeArgs) -> Result<Verdict, Failure> {
    let client = args.connection.open()?;
    let (mut found, mut from) = (Vec::new(), None);
    loop {
        let page = client.branch_rows(args.origin, from).await?;
        found.extend(page.rows);
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    if args.json {
        print::json(&found)?;
    } else {
        let mut table = print::table(&["batch", "entered", "table", "key", "taken away"]);
        for row in &found {
            let removed = if row.removed { "yes" } else { "" };
            table.add_row(vec![row.batch.to_string(), row.time.clone(), row.table.clone(), row.key.clone(), removed.to_owned()]);
        }
        print::line(table)?;
    }
    Ok(Verdict::Good)
}

fn review_cell(review: &Review) -> String {
    format!("{} by {}: {}", review.reviewed_at, review.by, review.reason)
}

fn print_evidence(kept: &[EvidenceKept]) -> Result<(), Failure> {
    if !kept.is_empty() {
        let mut table =
            print::table(&["origin", "batch", "found", "why", "signed by", "batches", "bytes", "their chain", "our chain", "reviewed"]);
        for evidence in kept {
            let short = |hash: &str| hash.chars().take(12).collect::<String>();
            table.add_row(vec![
                evidence.origin.to_string(),
                evidence.seq.to_string(),
                evidence.found_at.clone(),
                evidence.why.text(language::current()),
                evidence.signed_by.clone(),
                evidence.batches.to_string(),
                evidence.bytes.to_string(),
                short(&evidence.their_chain),
                evidence.our_chain.as_deref().map(short).unwrap_or_default(),
                evidence.review.as_ref().map(review_cell).unwrap_or_default(),
            ]);
        }
        print::line(table)?;
    }
    Ok(())
}

pub async fn run_origin(command: OriginCommand) -> Result<Verdict, Failure> {
    let (args, done) = match command {
        OriginCommand::Resume(args) => {
            let done = args.connection.open()?.resume_origin(args.origin).await?;
            (args, done)
        }
        OriginCommand::AbandonTransfer(args) => {
            let done = args.connection.open()?.abandon_transfer(args.origin).await?;
            (args, done)
        }
        OriginCommand::Discard(args) => return discard(args).await,
    };
    if args.json {
        print::json(&done)?;
    } else {
        print::line(&done.done)?;
    }
    Ok(Verdict::Good)
}

async fn discard(args: ReasonedArgs) -> Result<Verdict, Failure> {
    let discarded = args.connection.open()?.discard_origin(args.origin, &args.reason, args.dry_run).await?;
    if args.json {
        print::json(&discarded)?;
    } else {
        let (rows, batches) = (print::grouped(discarded.rows), print::grouped(discarded.batches));
        let done = if discarded.dry_run { "would be taken out" } else { "were taken out" };
        print::line(format!(
            "origin {}: {rows} rows, {batches} batches and {} pieces of evidence {done}",
            discarded.origin, discarded.evidence
        ))?;
    }
    Ok(Verdict::Good)
}
