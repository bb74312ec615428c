//! `kho site` and `kho node`: creating a site, confirming its time, adding and removing its nodes.

use std::{path::PathBuf, str::FromStr};

use clap::{Args, Subcommand};
use kho_node::api::{DamageExamined, Done, NodePlace, SiteInit};
use kho_storage::ids::NodeId;

use super::{print, register::load_signed};
use crate::{
    client::ConnectionArgs,
    failure::{Failure, Verdict},
};

/// Create a site, and confirm its time.
#[derive(Debug, Subcommand)]
pub enum SiteCommand {
    /// Create a site from its first nodes. The command is given once, to one of them. The parents that the register names are asked
    /// first whether the site was created before: so sites are created from the centre downward.
    #[command(
        after_help = "Example, for a site of three nodes:\n  kho site init --node https://10.0.0.5:7443 --register register.json --member 1=10.0.0.5:7444,10.0.0.5:7443 \\\n    --member 2=10.0.0.6:7444,10.0.0.6:7443 --member 3=10.0.0.7:7444,10.0.0.7:7443"
    )]
    Init(InitArgs),
    /// Say that a node's clock is right: it stamps by it from now on, and what the site stamped beyond it is taken back.
    #[command(after_help = "Example:\n  kho site confirm-time --node https://10.0.0.5:7443")]
    ConfirmTime(ConfirmTimeArgs),
}

/// Add and remove nodes of a site.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// Add a node: it learns all data, then votes. Its id must never have been used in this site.
    #[command(after_help = "Example:\n  kho node add --node https://10.0.0.5:7443 --member 4=10.0.0.8:7444,10.0.0.8:7443")]
    Add(AddArgs),
    /// Remove a node, running or lost. Its id is never used again.
    #[command(after_help = "Example:\n  kho node remove 3 --node https://10.0.0.5:7443")]
    Remove(NodeArgs),
    /// Tell a node that was away to listen to one that was added meanwhile. Needed only when the members that it knows are gone: its
    /// status says so.
    #[command(after_help = "Example, at the node that was away:\n  kho node confirm 4 --node https://10.0.0.7:7443")]
    Confirm(NodeArgs),
    /// Say that a node's disk was examined after a read had found it damaged. Taken only once `kho verify` has found every origin whole
    /// there. The audit log keeps the reason.
    #[command(
        after_help = "Examples, at the node itself:\n  kho verify --node https://10.0.0.6:7443\n  kho node damage-examined 2 --reason a-loose-cable-replaced --dry-run --node https://10.0.0.6:7443\n  kho node damage-examined 2 --reason a-loose-cable-replaced --node https://10.0.0.6:7443"
    )]
    DamageExamined(ExaminedArgs),
}

#[derive(Debug, Args)]
pub struct InitArgs {
    /// A node and where it answers: 1, 3 or 5 of them
    #[arg(long = "member", value_name = "ID=QUIC,HTTPS", required = true)]
    members: Vec<Member>,
    /// The signed register, as `kho register issue` wrote it
    #[arg(long, value_name = "FILE")]
    register: PathBuf,
    /// Create the site although its parent holds what it wrote: its own data are lost for good. Entry stays closed until a bundle of the
    /// parent has brought them back
    #[arg(long)]
    again: bool,
    /// Create the site although a parent does not answer: your word that it can't be asked. If the site was created before, what is entered
    /// until the link stands can't go up
    #[arg(long)]
    parent_unreachable: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub struct ConfirmTimeArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub struct AddArgs {
    /// The new node and where it answers
    #[arg(long, value_name = "ID=QUIC,HTTPS")]
    member: Member,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// A node, for orders that need no more of it.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// The node's id
    #[arg(value_name = "ID")]
    id: NodeId,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub struct ExaminedArgs {
    /// The node's id
    #[arg(value_name = "ID")]
    id: NodeId,
    /// What was found out, in at most 200 characters
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Change nothing, and only say whether the order would be taken
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// `ID=QUIC,HTTPS`, both as `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Member(NodePlace);

impl FromStr for Member {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || "give ID=QUIC,HTTPS, as in 1=10.0.0.5:7444,10.0.0.5:7443".to_owned();
        let (node, addresses) = text.split_once('=').ok_or_else(wanted)?;
        let (quic, https) = addresses.split_once(',').ok_or_else(wanted)?;
        let node: u64 = node.parse().map_err(|_| wanted())?;
        let https = https.trim_start_matches("https://").trim_end_matches('/');
        if node == 0 || !is_address(quic) || !is_address(https) {
            return Err(wanted());
        }
        Ok(Self(NodePlace { node, quic_address: quic.into(), https_address: https.into() }))
    }
}

/// Whether a text is `host:port`.
fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains(['/', ',', '=', ' ']) && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

pub async fn run_site(command: SiteCommand) -> Result<Verdict, Failure> {
    match command {
        SiteCommand::Init(args) => {
            let nodes: Vec<NodePlace> = args.members.into_iter().map(|Member(place)| place).collect();
            check_first_nodes(&nodes)?;
            let register = load_signed(&args.register)?;
            let init = SiteInit { nodes, register, again: args.again, parent_unreachable: args.parent_unreachable };
            print_done(&args.connection.open()?.init_site(&init).await?, args.json)
        }
        SiteCommand::ConfirmTime(args) => print_done(&args.connection.open()?.confirm_time().await?, args.json),
    }
}

pub async fn run_node(command: NodeCommand) -> Result<Verdict, Failure> {
    match command {
        NodeCommand::Add(args) => print_done(&args.connection.open()?.add_node(&args.member.0).await?, args.json),
        NodeCommand::Remove(args) => print_done(&args.connection.open()?.remove_node(args.id).await?, args.json),
        NodeCommand::DamageExamined(args) => damage_examined(args).await,
        NodeCommand::Confirm(args) => print_done(&args.connection.open()?.confirm_node(args.id).await?, args.json),
    }
}

async fn damage_examined(args: ExaminedArgs) -> Result<Verdict, Failure> {
    let examined = args.connection.open()?.damage_examined(args.id, &args.reason, args.dry_run).await?;
    if args.json {
        print::json(&examined)?;
    } else {
        let DamageExamined { node, found_at, what, dry_run } = examined;
        let done = if dry_run { "the finding would end" } else { "the finding has ended" };
        print::line(format!("node {node}: {done} about damage found at {found_at}: {what}"))?;
    }
    Ok(Verdict::Good)
}

fn check_first_nodes(nodes: &[NodePlace]) -> Result<(), Failure> {
    if !matches!(nodes.len(), 1 | 3 | 5) {
        return Err(Failure::usage(
            format!("{} nodes are named", nodes.len()),
            "a site has 1, 3 or 5 nodes: an even number survives no more losses than one less",
        ));
    }
    let twice = nodes
        .iter()
        .enumerate()
        .find(|(at, place)| nodes[..*at].iter().any(|before| before.node == place.node || before.quic_address == place.quic_address));
    match twice {
        Some((_, place)) => {
            Err(Failure::usage(format!("node {} or its address is named twice", place.node), "give every node its own id and address"))
        }
        None => Ok(()),
    }
}

fn print_done(done: &Done, json: bool) -> Result<Verdict, Failure> {
    if json {
        print::json(done)?;
    } else {
        print::line(&done.done)?;
    }
    Ok(Verdict::Good)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(text: &str) -> Result<NodePlace, String> {
        text.parse::<Member>().map(|Member(place)| place)
    }

    #[test]
    fn a_member_is_an_id_and_two_addresses() {
        let place = NodePlace { node: 1, quic_address: "10.0.0.5:7444".into(), https_address: "[::1]:7443".into() };
        assert_eq!(member("1=10.0.0.5:7444,[::1]:7443"), Ok(place.clone()));
        assert_eq!(member("1=10.0.0.5:7444,https://[::1]:7443/"), Ok(place));
        for text in ["", "1", "0=a:1,b:2", "1=a:1", "1=a,b:2", "x=a:1,b:2", "1=a:1,b:99999", "1=a:1,:2"] {
            assert!(member(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_site_is_created_from_1_3_or_5_different_nodes() {
        let places = |ids: &[u64]| ids.iter().map(|id| member(&format!("{id}=a:{id},b:{id}")).expect("well formed")).collect::<Vec<_>>();
        for ids in [&[1][..], &[1, 2, 3], &[1, 2, 3, 4, 5]] {
            assert_eq!(check_first_nodes(&places(ids)), Ok(()));
        }
        for ids in [&[][..], &[1, 2], &[1, 2, 2]] {
            assert!(check_first_nodes(&places(ids)).is_err());
        }
    }
}
