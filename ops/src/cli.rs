//! The words of `kho`: which commands there are, and where each is carried out.

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand};
use kho_messages::Lang;

use crate::{
    checkout,
    commands::{
        audit::{self, AuditCommand},
        bundle::{self, BundleCommand},
        import::{self, ImportArgs},
        inspect::{self, InspectArgs},
        origin::{self, ForkCommand, OriginCommand},
        query::{self, QueryArgs},
        register::{self, RegisterCommand},
        site::{self, NodeCommand, SiteCommand},
        status::{self, StatusArgs},
        upgrade::{self, UpgradeCommand},
        verify::{self, VerifyArgs},
    },
    failure::{EXIT_CODES, Failure, Verdict, conclude},
    language,
    pki::{self, PkiCommand},
    program,
};

/// The operator's command line of Kho, the multi-tier population warehouse.
#[derive(Debug, Parser)]
#[command(name = "kho", version, propagate_version = true, after_help = after_help(), arg_required_else_help = true)]
pub struct Cli {
    /// Language of `kho status` and of what nodes answer: en or vi [default: as LC_ALL, LC_MESSAGES or LANG say]
    #[arg(long, global = true, value_name = "LANGUAGE")]
    lang: Option<Lang>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Import(ImportArgs),
    Query(QueryArgs),
    Status(StatusArgs),
    Verify(VerifyArgs),
    #[command(subcommand)]
    Bundle(BundleCommand),
    #[command(subcommand)]
    Site(SiteCommand),
    #[command(subcommand)]
    Node(NodeCommand),
    #[command(subcommand)]
    Upgrade(UpgradeCommand),
    #[command(subcommand)]
    Fork(ForkCommand),
    #[command(subcommand)]
    Origin(OriginCommand),
    #[command(subcommand)]
    Register(RegisterCommand),
    #[command(subcommand)]
    Pki(PkiCommand),
    Inspect(InspectArgs),
    #[command(subcommand)]
    Audit(AuditCommand),
}

fn after_help() -> String {
    format!("{}\n{EXIT_CODES}", checkout::commands_text())
}

/// Reads the arguments, carries the command out, and says how it ended. A command of a checkout is left to its own program.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    match checkout::named(&arguments) {
        Some((command, rest)) => conclude(Err(checkout::become_program(command, &rest))),
        None => program::run(arguments, |cli: Cli| {
            language::choose(cli.lang);
            execute(cli.command)
        }),
    }
}

fn execute(command: Command) -> Result<Verdict, Failure> {
    match command {
        // These need no network, and some of them a machine without one.
        Command::Pki(command) => Ok(pki::run(command).map(|()| Verdict::Good)?),
        Command::Inspect(args) => inspect::run(&args),
        Command::Audit(command) => audit::run(command),
        command => program::connected(execute_connected(command)),
    }
}

async fn execute_connected(command: Command) -> Result<Verdict, Failure> {
    match command {
        Command::Import(args) => import::run(args).await,
        Command::Query(args) => query::run(args).await,
        Command::Status(args) => status::run(args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Bundle(command) => bundle::run(command).await,
        Command::Site(command) => site::run_site(command).await,
        Command::Node(command) => site::run_node(command).await,
        Command::Upgrade(command) => upgrade::run(command).await,
        Command::Fork(command) => origin::run_fork(command).await,
        Command::Origin(command) => origin::run_origin(command).await,
        Command::Register(command) => register::run(command).await,
        local @ (Command::Pki(_) | Command::Inspect(_) | Command::Audit(_)) => execute(local),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::help_rules;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn every_command_s_help_shows_an_example_and_all_examples_are_accepted() {
        assert!(help_rules::check::<Cli>("kho") > 25);
    }

    #[test]
    fn the_help_names_the_commands_of_a_checkout() {
        for name in ["synth", "demo", "bench"] {
            assert!(after_help().contains(&format!("\n  {name} ")), "{}", after_help());
        }
    }

    #[test]
    fn connection_options_stand_anywhere_behind_their_command() {
        for line in [
            "kho query --node https://a:1 list",
            "kho query list --node https://a:1",
            "kho query row --read local person k --json",
            "kho query --read local --json row person k",
            "kho query population --node https://a:1 --node https://b:1",
        ] {
            assert!(parse(line).is_ok(), "{line}: {}", parse(line).expect_err("refused"));
        }
        let Command::Query(args) = parse("kho query list --node https://a:1 --json").expect("parses").command else { panic!("a query") };
        assert!(format!("{args:?}").contains("json: true") && format!("{args:?}").contains("host: Some(Domain(\"a\"))"), "{args:?}");
    }

    #[test]
    fn the_language_stands_anywhere_and_only_a_known_one_is_taken() {
        for line in ["kho --lang vi status", "kho status --lang vi", "kho status --lang vi_VN.UTF-8 --json"] {
            assert_eq!(parse(line).expect("parses").lang, Some(Lang::Vi), "{line}");
        }
        assert_eq!(parse("kho status").expect("parses").lang, None);
        assert!(parse("kho status --lang fr").is_err());
    }

    #[test]
    fn wrong_use_ends_in_exit_code_2_and_help_in_0() {
        let code = |line: &str| format!("{:?}", run(line.split_whitespace().map(OsString::from)));
        assert_eq!(code("kho import"), format!("{:?}", ExitCode::from(2)));
        assert_eq!(code("kho status --node http://plain:1"), format!("{:?}", ExitCode::from(2)));
        assert_eq!(code("kho --help"), format!("{:?}", ExitCode::SUCCESS));
    }
}
