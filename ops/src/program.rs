//! How a program of the operator begins and ends. `kho` does it, and so do the programs that lie beside it.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, ensure};
use clap::Parser;

use crate::failure::{Failure, Verdict, conclude};

/// Reads the arguments, carries out what they say, and says how it ended.
pub fn run<P: Parser>(arguments: impl IntoIterator<Item = OsString>, carry_out: impl FnOnce(P) -> Result<Verdict, Failure>) -> ExitCode {
    let parsed = match P::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(end) => {
            // Help and version go to standard output and end well; clap knows which is which. Nothing is left to be done
            // when even that can't be written.
            let _ = end.print();
            return if end.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    tracing_subscriber::fmt().with_writer(io::stderr).with_max_level(tracing::Level::WARN).without_time().with_target(false).init();
    conclude(carry_out(parsed))
}

/// Carries out a command that speaks to nodes.
///
/// # Errors
/// Those of the command, and when the operating system gives no threads.
pub fn connected(command: impl Future<Output = Result<Verdict, Failure>>) -> Result<Verdict, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::refused(format!("threads could not be started: {error}"), "check the limits of processes and memory"))?;
    let outcome = runtime.block_on(command);
    // A thread that waits for standard input would hold the process back.
    runtime.shutdown_background();
    outcome
}

/// The program `name` in the folder of this one.
///
/// # Errors
/// When it is not there.
pub fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("the path of this program is not known")?;
    let program = beside_of(&this, name);
    ensure!(program.exists(), "{} is missing; build it with `cargo build --release --workspace`", program.display());
    Ok(program)
}

pub(crate) fn beside_of(program: &Path, name: &str) -> PathBuf {
    program.with_file_name(name)
}
