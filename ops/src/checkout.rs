//! Commands that are programs of their own, because an operator's machine does not need them: `kho synth` is carried out by
//! `kho-synth`. A build of a checkout puts them beside `kho`.
//!
//! `kho` does not read their arguments. It becomes the other program, so exit codes and signals are that program's own.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::process::CommandExt as _,
    process::Command,
};

use crate::{failure::Failure, program::beside_of};

/// One of these commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckoutCommand {
    pub name: &'static str,
    about: &'static str,
}

const COMMANDS: [CheckoutCommand; 3] = [
    CheckoutCommand { name: "synth", about: "Write a synthetic population: real units, census totals, plausible people" },
    CheckoutCommand { name: "demo", about: "Run the demonstration: a whole tree of sites on this machine" },
    CheckoutCommand { name: "bench", about: "Measure Kho and its peers in turn on this machine, and print how they compare" },
];

/// Part of `kho --help`: which of these commands there are.
pub fn commands_text() -> String {
    let lines = COMMANDS.map(|command| format!("  {:<10}{}\n", command.name, command.about));
    format!("Commands of a checkout; each is the program kho-NAME beside kho:\n{}", lines.concat())
}

/// The command that these arguments of `kho` name, and what its program is given. `kho help NAME` asks the program for its help.
pub fn named(arguments: &[OsString]) -> Option<(CheckoutCommand, Vec<OsString>)> {
    let find = |name: &OsStr| COMMANDS.into_iter().find(|command| name == command.name);
    match arguments {
        [_, help, name, ..] if help == "help" => Some((find(name)?, vec!["--help".into()])),
        [_, name, rest @ ..] => Some((find(name)?, rest.to_vec())),
        _ => None,
    }
}

/// Becomes the program of this command: the one beside this program, otherwise the one on the PATH. Returns only when there is none.
pub fn become_program(command: CheckoutCommand, arguments: &[OsString]) -> Failure {
    let program = format!("kho-{}", command.name);
    let this = std::env::current_exe().unwrap_or_default();
    let beside = beside_of(&this, &program);
    let chosen = if beside.is_file() { beside.as_os_str() } else { OsStr::new(&program) };
    let error = Command::new(chosen).args(arguments).exec();
    if error.kind() == io::ErrorKind::NotFound {
        Failure::refused(
            format!(
                "`kho {}` is carried out by the program {program}, which is neither beside {} nor on the PATH",
                command.name,
                this.display()
            ),
            "in a checkout of Kho, build all programs with `cargo build --release --workspace`, and run the `kho` of that build",
        )
    } else {
        Failure::refused(format!("{} could not be started: {error}", chosen.display()), "check its permissions")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_of_a_checkout_gets_every_argument_behind_its_name_and_help_asks_for_its_help() {
        let named = |line: &str| {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            named(&arguments).map(|(command, given)| (command.name, given.join(OsStr::new(" ")).into_string().expect("text")))
        };
        assert_eq!(named("kho bench wire --runs 3"), Some(("bench", "wire --runs 3".into())));
        assert_eq!(named("kho demo"), Some(("demo", String::new())));
        assert_eq!(named("kho help synth"), Some(("synth", "--help".into())));
        assert_eq!(named("kho query synth"), None);
        assert_eq!(named("kho"), None);
    }
}
