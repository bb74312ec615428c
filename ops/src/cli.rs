//! The words of `kho`: which commands there are, and where each is carried out.

use std::{ffi::OsString, io, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{
    bench::{self, BenchArgs},
    commands::{
        bundle::{self, BundleCommand},
        import::{self, ImportArgs},
        inspect::{self, InspectArgs},
        origin::{self, ForkCommand, OriginCommand},
        query::{self, QueryArgs},
        register::{self, RegisterCommand},
        site::{self, NodeCommand, SiteCommand},
        status::{self, StatusArgs},
        verify::{self, VerifyArgs},
    },
    demo::{self, DemoCommand},
    failure::{EXIT_CODES, Failure, Verdict, conclude},
    pki::{self, PkiCommand},
    synth::{self, SynthArgs},
};

/// The operator's command line of Kho, the multi-tier population warehouse.
#[derive(Debug, Parser)]
#[command(name = "kho", version, propagate_version = true, after_help = EXIT_CODES, arg_required_else_help = true)]
pub struct Cli {
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
    Fork(ForkCommand),
    #[command(subcommand)]
    Origin(OriginCommand),
    #[command(subcommand)]
    Register(RegisterCommand),
    #[command(subcommand)]
    Pki(PkiCommand),
    Inspect(InspectArgs),
    Synth(SynthArgs),
    #[command(subcommand)]
    Demo(DemoCommand),
    Bench(BenchArgs),
}

/// Reads the arguments, carries the command out, and says how it ended.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(told) => {
            // Help and version go to standard output and end well; clap knows which is which. Nothing is left to be done
            // when even that can't be written.
            let _ = told.print();
            return if told.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    tracing_subscriber::fmt().with_writer(io::stderr).with_max_level(tracing::Level::WARN).without_time().with_target(false).init();
    conclude(execute(cli.command))
}

fn execute(command: Command) -> Result<Verdict, Failure> {
    match command {
        // These need no network, and some of them a machine without one.
        Command::Synth(args) => Ok(synth::run(args).map(|()| Verdict::Good)?),
        Command::Pki(command) => Ok(pki::run(command).map(|()| Verdict::Good)?),
        Command::Inspect(args) => inspect::run(&args),
        command => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
                Failure::refused(format!("threads could not be started: {error}"), "look at the limits of processes and memory")
            })?;
            let outcome = runtime.block_on(execute_connected(command));
            // A thread that waits for standard input would hold the process back.
            runtime.shutdown_background();
            outcome
        }
    }
}

async fn execute_connected(command: Command) -> Result<Verdict, Failure> {
    match command {
        Command::Import(args) => import::run(args).await,
        Command::Query(args) => query::run(args).await,
        Command::Status(args) => status::run(args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Demo(command) => demo::run(command).await,
        Command::Bench(args) => bench::run(args).await,
        Command::Bundle(command) => bundle::run(command).await,
        Command::Site(command) => site::run_site(command).await,
        Command::Node(command) => site::run_node(command).await,
        Command::Fork(command) => origin::run_fork(command).await,
        Command::Origin(command) => origin::run_origin(command).await,
        Command::Register(command) => register::run(command).await,
        local @ (Command::Pki(_) | Command::Inspect(_) | Command::Synth(_)) => execute(local),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_command_line_is_whole() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_s_help_shows_an_example() {
        fn check(command: &clap::Command, path: &str) {
            let leaves: Vec<_> = command.get_subcommands().filter(|sub| sub.get_name() != "help").collect();
            for sub in &leaves {
                check(sub, &format!("{path} {}", sub.get_name()));
            }
            if leaves.is_empty() {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Example") && help.contains(path), "`{path} --help` has no example of itself");
                assert!(command.get_about().is_some(), "`{path} --help` does not say what it does");
            }
        }
        check(&Cli::command(), "kho");
    }

    #[test]
    fn the_examples_of_every_command_are_accepted() {
        fn examples(command: &clap::Command, found: &mut Vec<String>) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default().replace("\\\n", " ");
            found.extend(help.lines().filter_map(|line| {
                line.trim().strip_prefix("kho ").map(|rest| format!("kho {}", rest.split("  (").next().unwrap_or(rest)))
            }));
            command.get_subcommands().for_each(|sub| examples(sub, found));
        }
        let mut found = Vec::new();
        examples(&Cli::command(), &mut found);
        assert!(found.len() > 25, "{found:?}");
        for line in found {
            // A key in an example is shortened for the eye.
            let line = line.replace("04ab…", &format!("04{}", "ab".repeat(64)));
            assert!(parse(&line).is_ok(), "`{line}` is shown in a help text: {}", parse(&line).expect_err("refused"));
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
    fn wrong_use_ends_in_exit_code_2_and_help_in_0() {
        let code = |line: &str| format!("{:?}", run(line.split_whitespace().map(OsString::from)));
        assert_eq!(code("kho import"), format!("{:?}", ExitCode::from(2)));
        assert_eq!(code("kho status --node http://plain:1"), format!("{:?}", ExitCode::from(2)));
        assert_eq!(code("kho --help"), format!("{:?}", ExitCode::SUCCESS));
    }
}
