//! The words of `kho pki`: arguments in, files made, a few lines or JSON out.

use std::{
    io::{self, Write},
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand, ValueEnum};
use kho_replication::{
    identity::{ClientRights, Role},
    tls::{NODE_VALIDITY_DAYS, VerifiedRequest},
};
use kho_storage::{
    ids::{NodeId, SiteId, SiteTime},
    signature::SignatureAlgorithm,
};
use serde_json::{Value, json};

use super::{folder, folder::NodeRequest, show};

/// Keys and certificates: the tree's root, requests, signing.
#[derive(Debug, Subcommand)]
pub enum PkiCommand {
    /// Make the root of a new tree: root.key (stays here, mode 0600) and root.crt (for everybody). Good for 10 years.
    #[command(after_help = "Example, on a machine that stays offline:\n  kho pki init --tree vn --out /srv/kho-ca")]
    Init(InitArgs),
    /// On a node: make its keys (stay here, mode 0600), a request to sign, and its node card for the register.
    #[command(
        after_help = "Example, on node 3 of site 12:\n  kho pki request --tree vn --site 12 --node 3 --san 10.0.0.5 --out /etc/kho/pki\n\
        Then carry tls.csr to the root's machine for `kho pki sign`, and node.json to who keeps the register."
    )]
    Request(RequestArgs),
    /// On the root's machine: check a request, show what it asks for, and sign it.
    #[command(after_help = "Example:\n  kho pki sign --ca /srv/kho-ca --csr tls.csr --expect-site 12 --expect-node 3 --out tls.crt\n\
        Then carry tls.crt and root.crt to the node.")]
    Sign(SignArgs),
    /// On an operator's or entry client's machine: make a key (stays here, mode 0600) and a request to sign.
    #[command(after_help = "Examples:\n  kho pki client --tree vn --operator an --out ~/.kho\n  \
        kho pki client --tree vn --operator binh --site 12 --out ~/.kho\n  kho pki client --tree vn --client entry-desk-1 --site 12 --out ~/.kho\n  \
        kho pki client --tree vn --client help-desk --site 12 --may enter,read --out ~/.kho\n\
        Then carry client.csr to the root's machine for `kho pki sign`.")]
    Client(ClientArgs),
    /// Show what certificates or a request say: whose, for which names, from when until when, fingerprint.
    #[command(after_help = "Example:\n  kho pki show /etc/kho/pki/tls.crt")]
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub struct InitArgs {
    /// The tree's name: 1 to 32 of a-z, 0-9 and `-`, starting with a letter
    #[arg(long)]
    tree: String,
    /// Folder for root.key and root.crt; made if missing, nothing in it is overwritten
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct RequestArgs {
    #[arg(long)]
    tree: String,
    /// The site's number in the register
    #[arg(long)]
    site: SiteId,
    /// The node's number, never used before in this site
    #[arg(long)]
    node: NodeId,
    /// An IP address or DNS name the node is reached under, beside 127.0.0.1 and localhost; may be repeated
    #[arg(long = "san", value_name = "ADDRESS")]
    sans: Vec<String>,
    /// Algorithm of the key that signs heads
    #[arg(long, value_enum, default_value_t = SigningAlgorithm::EcdsaP256Sha256)]
    signing_algorithm: SigningAlgorithm,
    /// Folder for tls.key, tls.csr, signing.key, encryption.key and node.json; made if missing, nothing in it is overwritten
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SigningAlgorithm {
    EcdsaP256Sha256,
    Ed25519,
}

#[derive(Debug, Args)]
pub struct SignArgs {
    /// Folder that `kho pki init` made
    #[arg(long, value_name = "DIR")]
    ca: PathBuf,
    /// The request, as `kho pki request` or `kho pki client` wrote it
    #[arg(long, value_name = "FILE")]
    csr: PathBuf,
    /// Certificate to write; never overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Days the certificate is good for
    #[arg(long, default_value_t = NODE_VALIDITY_DAYS)]
    days: u32,
    /// Refuse unless the request is of this site
    #[arg(long, value_name = "SITE")]
    expect_site: Option<SiteId>,
    /// Refuse unless the request is of this node
    #[arg(long, value_name = "NODE")]
    expect_node: Option<NodeId>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("who").required(true).args(["operator", "client"])))]
pub struct ClientArgs {
    #[arg(long)]
    tree: String,
    /// An operator's name; without --site an operator of the whole tree
    #[arg(long, value_name = "NAME")]
    operator: Option<String>,
    /// A client's name; needs --site
    #[arg(long, value_name = "NAME", requires = "site")]
    client: Option<String>,
    #[arg(long)]
    site: Option<SiteId>,
    /// What an entry client may do with rows: enter them, read them, or both; operators do neither
    #[arg(long, value_enum, value_delimiter = ',', default_value = "enter", conflicts_with = "operator")]
    may: Vec<ClientMay>,
    /// Folder for client.key and client.csr; made if missing, nothing in it is overwritten
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ClientMay {
    Enter,
    Read,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A PEM file with certificates or a request
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs a command by the machine's clock, printing to standard output.
///
/// # Errors
/// What was refused and which command helps.
pub fn run(command: PkiCommand) -> anyhow::Result<()> {
    run_at(command, now()?, &mut io::stdout().lock())
}

/// The machine's clock.
///
/// # Errors
/// When it stands before 1970.
pub fn now() -> anyhow::Result<SiteTime> {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).context("this machine's clock stands before 1970; set it")?;
    Ok(SiteTime(i64::try_from(elapsed.as_millis())?))
}

/// The same at a given time and to any output.
pub(super) fn run_at(command: PkiCommand, now: SiteTime, out: &mut impl Write) -> anyhow::Result<()> {
    match command {
        PkiCommand::Init(args) => init(&args, now, out),
        PkiCommand::Request(args) => request(args, out),
        PkiCommand::Sign(args) => sign(&args, now, out),
        PkiCommand::Client(args) => client(args, out),
        PkiCommand::Show(args) => show_file(&args, now, out),
    }
}

fn init(args: &InitArgs, now: SiteTime, out: &mut impl Write) -> anyhow::Result<()> {
    let root = folder::init_root(&args.tree, &args.out, now)?;
    let until = root.validity().not_after.to_rfc3339();
    if args.json {
        return print_json(out, &json!({ "tree": root.tree(), "folder": args.out, "not_after": until }));
    }
    writeln!(out, "Made the root of tree `{}` in {}, good until {until}.", root.tree(), args.out.display())?;
    writeln!(out, "root.key must stay on this machine, with a copy kept offline; root.crt goes to every node and client.")?;
    writeln!(out, "Next, on each node: kho pki request --tree {} --site SITE --node NODE --out DIR", root.tree())?;
    Ok(())
}

fn request(args: RequestArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let signing_algorithm = match args.signing_algorithm {
        SigningAlgorithm::EcdsaP256Sha256 => SignatureAlgorithm::EcdsaP256Sha256,
        SigningAlgorithm::Ed25519 => SignatureAlgorithm::Ed25519,
    };
    let request = NodeRequest { tree: args.tree, site: args.site, node: args.node, reached_as: args.sans, signing_algorithm };
    let card = folder::request_node(&request, &args.out)?;
    if args.json {
        return print_json(out, &serde_json::to_value(&card)?);
    }
    writeln!(
        out,
        "Made the keys of node {} of site {} in {}; tls.key, signing.key and encryption.key never leave this node.",
        card.node,
        card.site,
        args.out.display()
    )?;
    writeln!(out, "Signing key: {}", card.signing_public_key)?;
    writeln!(out, "Next: carry tls.csr to the root's machine for `kho pki sign`, and node.json to who keeps the register.")?;
    Ok(())
}

fn sign(args: &SignArgs, now: SiteTime, out: &mut impl Write) -> anyhow::Result<()> {
    let mut server_names = Vec::new();
    let approve = |request: &VerifiedRequest| {
        server_names = request.server_names();
        as_expected(args, request)
    };
    let issued = folder::sign_file(&args.ca, &args.csr, &args.out, args.days, now, approve)?;
    let (from, until) = (issued.validity.not_before.to_rfc3339(), issued.validity.not_after.to_rfc3339());
    if args.json {
        let answer =
            json!({ "identity": issued.identity, "server_names": server_names, "not_before": from, "not_after": until, "file": args.out });
        return print_json(out, &answer);
    }
    writeln!(out, "Signed {} into {}.", args.csr.display(), args.out.display())?;
    writeln!(out, "  identity      {}", issued.identity)?;
    for name in &server_names {
        writeln!(out, "  reached as    {name}")?;
    }
    writeln!(out, "  good          {from} to {until}")?;
    writeln!(out, "Next: carry it and root.crt to where the request was made.")?;
    Ok(())
}

fn as_expected(args: &SignArgs, request: &VerifiedRequest) -> anyhow::Result<()> {
    let identity = request.identity();
    if let Some(site) = args.expect_site {
        ensure!(identity.site() == Some(site), "it is of {identity}, and site {site} was expected; ask who sent it");
    }
    if let Some(node) = args.expect_node {
        ensure!(identity.node().is_some_and(|(_, id)| id == node), "it is of {identity}, and node {node} was expected; ask who sent it");
    }
    Ok(())
}

fn client(args: ClientArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let role = match (args.operator, args.client, args.site) {
        (Some(name), None, site) => Role::Operator { site, name },
        (None, Some(name), Some(site)) => Role::Client { site, name, rights: rights(&args.may) },
        _ => anyhow::bail!("give either --operator NAME, or --client NAME with --site; see `kho pki client --help`"),
    };
    let identity = folder::request_person(&args.tree, role, &args.out)?;
    if args.json {
        return print_json(out, &json!({ "identity": identity, "folder": args.out }));
    }
    writeln!(out, "Made a key and a request for {identity} in {}; client.key never leaves this machine.", args.out.display())?;
    writeln!(out, "Next: carry client.csr to the root's machine for `kho pki sign`.")?;
    Ok(())
}

fn rights(may: &[ClientMay]) -> ClientRights {
    match (may.contains(&ClientMay::Enter), may.contains(&ClientMay::Read)) {
        (true, true) => ClientRights::EnterAndRead,
        (false, true) => ClientRights::Read,
        _ => ClientRights::Enter,
    }
}

fn show_file(args: &ShowArgs, now: SiteTime, out: &mut impl Write) -> anyhow::Result<()> {
    let shown = show::show(&args.file, now)?;
    if args.json {
        return print_json(out, &serde_json::to_value(&shown)?);
    }
    for one in &shown {
        writeln!(out, "{}", one.kind)?;
        writeln!(out, "  identity      {}", one.identity)?;
        for name in &one.server_names {
            writeln!(out, "  reached as    {name}")?;
        }
        if let (Some(from), Some(until)) = (&one.not_before, &one.not_after) {
            writeln!(out, "  good          {from} to {until} ({})", one.state)?;
        }
        writeln!(out, "  SHA-256       {}", one.sha256_fingerprint)?;
    }
    Ok(())
}

fn print_json(out: &mut impl Write, value: &Value) -> anyhow::Result<()> {
    writeln!(out, "{}", serde_json::to_string_pretty(value)?)?;
    Ok(())
}
