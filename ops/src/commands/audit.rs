//! `kho audit`: finding a row in a node's audit log, for who has a reason to ask.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kho_node::audit::AuditKey;
use serde_json::json;

use super::print;
use crate::failure::{Failure, Verdict};

/// Find who read a row.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Compute the hash by which a node's audit log names a row. It needs the node's own disk: nobody else can tell whose row was read.
    #[command(
        after_help = "Example, on the node's machine:\n  kho audit hash /var/lib/kho person 039205001234\n  journalctl -u khod | grep \"$(kho audit hash /var/lib/kho person 039205001234)\""
    )]
    Hash(HashArgs),
}

#[derive(Debug, Args)]
pub struct HashArgs {
    /// The node's data folder
    dir: PathBuf,
    /// The row's table
    table: String,
    /// The row's key
    key: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Carries the command out.
///
/// # Errors
/// When the folder holds no audit key that can be read.
pub fn run(AuditCommand::Hash(args): AuditCommand) -> Result<Verdict, Failure> {
    let key = AuditKey::read(&args.dir).map_err(|error| {
        Failure::usage(
            format!("{} holds no audit key that can be read: {error}", args.dir.display()),
            "name the data folder of a node that was started, as a user who may read it",
        )
    })?;
    let hash = key.hash(&args.table, &args.key);
    if args.json {
        print::json(&json!({ "table": args.table, "key_hash": hash }))?;
    } else {
        print::line(hash)?;
    }
    Ok(Verdict::Good)
}
