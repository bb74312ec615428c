//! The words of `kho register`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use kho_replication::identity::PeerIdentity;
use kho_storage::{
    ids::SiteTime,
    register::{REGISTER_BYTES_MAX, SignedRegister},
    signature::{PublicKey, SignatureAlgorithm},
};
use serde_json::json;

use super::{
    draft,
    revoke::{self, LastGood, Revoking},
    root_keys::{self, RotateKeyArgs, SignArgs, VerifyArgs, ignored, opened},
    show,
    sign::{self, UnknownFields},
};
use crate::{
    client::ConnectionArgs,
    commands::{
        files::{Existing, Secrecy, read_text, write_file},
        print,
    },
    failure::{Failure, Verdict},
    pki::{NodeCard, now},
};

/// The longest text of a register.
pub(super) const DRAFT_BYTES_MAX: u64 = REGISTER_BYTES_MAX as u64;
const CARD_BYTES_MAX: u64 = 64 << 10;

/// The tree's sites, tiers, origins, parents and pinned keys, signed by the centre.
#[derive(Debug, Subcommand)]
pub enum RegisterCommand {
    /// Write a commented register to start from.
    #[command(after_help = "Example:\n  kho register new --tree vn --out register.toml")]
    New(NewArgs),
    /// At the centre: make the key that signs registers (stays there, mode 0600), and print its public half.
    #[command(
        after_help = "Example, on a machine that stays offline:\n  kho register key --out /srv/kho-ca/register.key\nEvery node's configuration names the public key printed."
    )]
    Key(KeyArgs),
    /// Add a node to its site, from the card that `kho pki request` wrote; the rest of the text stays as it is.
    #[command(after_help = "Example:\n  kho register add-node register.toml --card node.json")]
    AddNode(AddNodeArgs),
    /// Revoke certificates: of a client, an operator, or a node, for the node its signing key too. A new certificate of the same name,
    /// signed later, is good.
    #[command(
        after_help = "Examples:\n  kho register revoke register.toml --identity kho://vn/site/340/client/an\n  kho register revoke register.toml --identity kho://vn/operator/an --issued-before 2026-11-27T12:00:00Z\n  kho register revoke register.toml --identity kho://vn/site/340/node/3 --last-good 340=1/1200\nThen raise `version`, issue the register and apply it at the centre. Every node refuses the certificate as soon as the register\nreaches it, and cuts connections that stand by it."
    )]
    Revoke(RevokeArgs),
    /// Check a register and sign it. Raise `version` before: nodes take only a higher one.
    #[command(after_help = "Example:\n  kho register issue register.toml --key /srv/kho-ca/register.key --out register.signed.toml")]
    Issue(IssueArgs),
    /// Show a register: its text, its signed file, or the one a node has adopted.
    #[command(
        after_help = "Examples:\n  kho register show register.toml\n  kho register show register.signed.toml --register-key 04ab…\n  kho register show --node https://10.0.0.5:7443\n  kho register show --node https://10.0.0.5:7443 --text  (the file as it was signed)"
    )]
    Show(ShowArgs),
    /// Add signatures to a signed register, where several keys have to sign it.
    #[command(
        after_help = "Example, each holder on his own machine:\n  kho register sign register.signed.toml --key b.key\nOn one machine: kho register sign register.signed.toml --key a.key --key b.key"
    )]
    Sign(SignArgs),
    /// Name other keys in the register's text that sign registers from then on. It takes two registers: one by which the old and the new
    /// keys may sign, and, when every site has it, one by which the new ones alone may.
    #[command(
        after_help = "Examples, a planned change:\n  kho register key --out new.key\n  kho register rotate-key register.toml --old-key 04ab… --new-key 04cd…\n  kho register issue register.toml --key old.key --out register.signed.toml\n  kho register rotate-key register.toml --finish\n  kho register issue register.toml --key new.key --out register.signed.toml\nTwo of three keys: kho register rotate-key register.toml --new-key 04a… --new-key 04b… --new-key 04c… --threshold 2\nA lost key of three: name the two that are left and a fresh one, and have the two sign."
    )]
    RotateKey(RotateKeyArgs),
    /// Check a signed register: that it is whole, that this version understands it, and that its signatures are good.
    #[command(
        after_help = "Example:\n  kho register verify register.signed.toml --register-key 04ab…\n  kho register verify register.signed.toml --after earlier.signed.toml\nWithout either it is said who signed, and not whether that is the centre."
    )]
    Verify(VerifyArgs),
    /// Give a signed register to a node: of the centre, from where it travels downward, or of a new site.
    #[command(after_help = "Example:\n  kho register apply register.signed.toml --node https://10.0.0.5:7443")]
    Apply(ApplyArgs),
}

#[derive(Debug, Args)]
pub struct NewArgs {
    /// The tree's name, as in `kho pki init`
    #[arg(long)]
    tree: String,
    /// File to write; never overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Args)]
pub struct KeyArgs {
    /// File for the private key; never overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[arg(long, value_enum, default_value_t = KeyAlgorithm::EcdsaP256Sha256)]
    algorithm: KeyAlgorithm,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KeyAlgorithm {
    EcdsaP256Sha256,
    Ed25519,
}

#[derive(Debug, Args)]
pub struct AddNodeArgs {
    /// The register's text; written anew
    register: PathBuf,
    /// node.json, as `kho pki request` wrote it; may be repeated
    #[arg(long = "card", value_name = "FILE", required = true)]
    cards: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// The register's text; written anew
    register: PathBuf,
    /// Whose certificates: the kho:// name that `kho pki show` prints
    #[arg(long, value_name = "NAME")]
    identity: PeerIdentity,
    /// Certificates issued before this time are revoked (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    issued_before: Option<SiteTime>,
    /// For a node whose signing key is revoked too: the last batch that it may vouch for, as `kho node remove` printed it; one for each
    /// origin that it signed, may be repeated
    #[arg(long, value_name = "ORIGIN=EPOCH/BATCH", value_delimiter = ',')]
    last_good: Vec<LastGood>,
}

fn time(text: &str) -> Result<SiteTime, String> {
    SiteTime::from_rfc3339(text).ok_or_else(|| "give a time as 2026-11-27T12:00:00Z".to_owned())
}

#[derive(Debug, Args)]
pub struct IssueArgs {
    /// The register's text
    register: PathBuf,
    /// A private key that `kho register key` made; may be repeated
    #[arg(long = "key", value_name = "FILE", required = true)]
    keys: Vec<PathBuf>,
    /// Signed file to write; an earlier issue there is replaced
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Sign also what this version does not know: fields for nodes of a later version
    #[arg(long)]
    allow_unknown_fields: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A register's text or its signed file [default: ask the node]
    file: Option<PathBuf>,
    /// Check the signature with this public key, in hexadecimal
    #[arg(long, value_name = "HEX", value_parser = sign::public_key)]
    register_key: Option<PublicKey>,
    /// Print the text as it was signed, with its signatures below it
    #[arg(long, conflicts_with = "json")]
    text: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// File that `kho register issue` wrote
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub async fn run(command: RegisterCommand) -> Result<Verdict, Failure> {
    match command {
        RegisterCommand::New(args) => new(&args),
        RegisterCommand::Key(args) => key(&args),
        RegisterCommand::AddNode(args) => add_node(&args),
        RegisterCommand::Revoke(args) => revoke_identity(args),
        RegisterCommand::Issue(args) => issue(&args),
        RegisterCommand::Show(args) => show_register(args).await,
        RegisterCommand::Verify(args) => root_keys::verify(&args),
        RegisterCommand::Sign(args) => root_keys::sign(&args),
        RegisterCommand::RotateKey(args) => root_keys::rotate_key(&args),
        RegisterCommand::Apply(args) => apply(args).await,
    }?;
    Ok(Verdict::Good)
}

fn new(args: &NewArgs) -> Result<(), Failure> {
    kho_replication::identity::PeerIdentity::new(&args.tree, kho_replication::identity::Role::Authority)
        .map_err(|error| Failure::usage(error.to_string(), "give the name that `kho pki init` was given"))?;
    write_file(&args.out, draft::skeleton(&args.tree).as_bytes(), Secrecy::Public, Existing::Refuse)?;
    print::line(format!(
        "wrote {}; edit it, add nodes with `kho register add-node`, then sign it with `kho register issue`",
        args.out.display()
    ))
}

fn key(args: &KeyArgs) -> Result<(), Failure> {
    let algorithm = match args.algorithm {
        KeyAlgorithm::EcdsaP256Sha256 => SignatureAlgorithm::EcdsaP256Sha256,
        KeyAlgorithm::Ed25519 => SignatureAlgorithm::Ed25519,
    };
    let public = sign::make_key(&args.out, algorithm)?;
    if args.json {
        return print::json(&json!({ "file": args.out, "algorithm": algorithm, "public_key": public.to_hex() }));
    }
    print::line(format!("made {}; it never leaves this machine, save for a copy kept offline", args.out.display()))?;
    let word = serde_json::to_value(algorithm)?;
    print::line(format!(
        "every node's configuration pins its public half:\n\n[register]\nkey = \"{}\"\nalgorithm = {word}",
        public.to_hex()
    ))
}

fn add_node(args: &AddNodeArgs) -> Result<(), Failure> {
    let mut text = read_text(&args.register, DRAFT_BYTES_MAX)?;
    let mut added = Vec::new();
    for file in &args.cards {
        let card = NodeCard::from_json(&read_text(file, CARD_BYTES_MAX)?)
            .map_err(|error| Failure::usage(format!("{}: {error:#}", file.display()), ""))?;
        text = draft::add_node(&text, &card)?;
        added.push(format!("node {} of site {}", card.node, card.site));
    }
    write_file(&args.register, text.as_bytes(), Secrecy::Public, Existing::Replace)?;
    print::line(format!(
        "added {} to {}; raise `version`, then sign it with `kho register issue`",
        added.join(", "),
        args.register.display()
    ))
}

fn revoke_identity(args: RevokeArgs) -> Result<(), Failure> {
    let now = now()?;
    let issued_before = args.issued_before.unwrap_or(now);
    if issued_before > now {
        return Err(Failure::usage(
            format!("{} is still to come: a new certificate would be revoked too", issued_before.to_rfc3339()),
            "leave --issued-before out to revoke everything issued up to now",
        ));
    }
    let revokes_key = !args.last_good.is_empty();
    let revoking = Revoking { identity: args.identity, issued_before, last_good: args.last_good };
    let text = revoke::revoke(&read_text(&args.register, DRAFT_BYTES_MAX)?, &revoking)?;
    write_file(&args.register, text.as_bytes(), Secrecy::Public, Existing::Replace)?;
    print::line(format!(
        "revoked {} for certificates issued before {}{} in {}; raise `version`, then sign it with `kho register issue`",
        revoking.identity,
        revoking.issued_before.to_rfc3339(),
        if revokes_key { ", and its signing key," } else { "" },
        args.register.display()
    ))
}

fn issue(args: &IssueArgs) -> Result<(), Failure> {
    let text = read_text(&args.register, DRAFT_BYTES_MAX)?;
    draft::read(&text)?;
    let keys = args.keys.iter().map(|file| sign::load_key(file)).collect::<Result<Vec<_>, _>>()?;
    let unknown = if args.allow_unknown_fields { UnknownFields::Allow } else { UnknownFields::Refuse };
    let (signed, register) = sign::issue(&text, &keys, &args.out, unknown)?;
    let bare: Vec<String> = register.sites.iter().filter(|site| site.nodes.is_empty()).map(|site| site.site.to_string()).collect();
    if args.json {
        let public: Vec<String> = keys.iter().map(|key| key.public_key().to_hex()).collect();
        return print::json(
            &json!({ "file": args.out, "tree": register.tree, "version": register.version, "sites": register.sites.len(), "origins": register.origins.len(), "bytes": signed.text.len(), "public_keys": public, "sites_without_nodes": bare }),
        );
    }
    print::line(format!(
        "signed version {} of tree {}: {} sites, {} origins, into {}",
        register.version,
        register.tree,
        register.sites.len(),
        register.origins.len(),
        args.out.display()
    ))?;
    if !bare.is_empty() {
        print::line(format!("sites without nodes, whose streams nobody can sign yet: {}", bare.join(", ")))?;
    }
    print::line(format!("next: kho register apply {} --node URL", args.out.display()))
}

async fn show_register(args: ShowArgs) -> Result<(), Failure> {
    let signed = match &args.file {
        Some(file) => {
            let text = sign::read_file(file)?;
            if !SignedRegister::is_in(&text) {
                return show_draft(&args, &text);
            }
            sign::signed_in(file, &text)?
        }
        None => args.connection.open()?.register().await?,
    };
    let register = opened(&signed, args.register_key.as_ref())?;
    let signature = if args.register_key.is_some() { "signature good" } else { "signature not checked; give --register-key" };
    if args.text {
        return print::line(signed.to_file().trim_end());
    }
    if args.json {
        return print::json(&register);
    }
    print::line(format!("{}{}\n{signature}", show::text(&register), ignored(&signed.text)?))
}

fn show_draft(args: &ShowArgs, text: &str) -> Result<(), Failure> {
    let register = draft::read(text)?;
    match (args.text, args.json) {
        (true, _) => print::line(text.trim_end()),
        (_, true) => print::json(&register),
        _ => print::line(format!("{}\nnot signed yet", show::text(&register))),
    }
}

async fn apply(args: ApplyArgs) -> Result<(), Failure> {
    let signed = sign::load_signed(&args.file)?;
    let done = args.connection.open()?.apply_register(&signed).await?;
    if args.json { print::json(&done) } else { print::line(&done.done) }
}
