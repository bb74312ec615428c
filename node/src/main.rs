//! khod: runs one node of a Kho site.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use kho_node::{
    config::{LogConfig, LogFormat, NodeConfig},
    consensus::FirstStart,
    daemon, metering,
};
use kho_storage::level::{Level, LevelRange, SUPPORTED, SUPPORTED_IN_TESTS};
use tokio::signal::unix::{SignalKind, signal};

/// Set to the level of tests, the node offers it. For tests of levels alone: a site that was raised to it is of no use to any product.
const TEST_LEVEL: &str = "KHO_TEST_LEVEL";
/// Names a task or job that panics as soon as it starts. For tests of what the node does then.
const TEST_PANIC: &str = "KHO_TEST_PANIC";
/// The exit code of a node whose build does not support the level of its site.
const LEVEL_NOT_SUPPORTED: u8 = 3;

/// For RocksDB too: it gives memory back to the system more slowly than glibc's, which gives each freed megabyte back at once and
/// has it cleared anew.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Runs one node of a Kho site.
#[derive(Debug, Parser)]
#[command(
    name = "khod",
    version,
    after_help = "Example:\n  khod --config /etc/kho/khod.toml --check-config\n  khod --config /etc/kho/khod.toml --first-start\n  khod --config /etc/kho/khod.toml\n\nExit codes: 0 stopped as asked, 1 the node failed, 2 the configuration or a file it names is wrong, 3 this build does not support the level of the node's site: install one that does."
)]
struct Arguments {
    /// The node's configuration file; see config-examples/.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check the configuration and every file it names, then end.
    #[arg(long)]
    check_config: bool,
    /// Take the empty data folder as this node's own, then end: once for each node, before it runs for the first time.
    #[arg(long, conflicts_with = "check_config")]
    first_start: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut checked = match NodeConfig::load(&arguments.config).map_err(anyhow::Error::from).and_then(daemon::check) {
        Ok(checked) => checked,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::from(2);
        }
    };
    checked.levels = match levels(std::env::var(TEST_LEVEL).ok().as_deref()) {
        Ok(levels) => levels,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    checked.panic_in = std::env::var(TEST_PANIC).ok().filter(|task| !task.is_empty()).map(Into::into);
    if arguments.check_config {
        println!(
            "{}: site {}, node {} of tree {}; certificate, keys and limits fit together",
            arguments.config.display(),
            checked.config.site,
            checked.config.node,
            checked.config.tree
        );
        return ExitCode::SUCCESS;
    }
    if arguments.first_start {
        return first_start(&checked.config);
    }
    start_log(&checked.config.log);
    metering::install();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the runtime could not be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(daemon::run(checked, stop_signal())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            eprintln!("error: {error:#}");
            if daemon::is_level_fault(&error) { ExitCode::from(LEVEL_NOT_SUPPORTED) } else { ExitCode::FAILURE }
        }
    }
}

/// The levels that the node offers, by what stands in [`TEST_LEVEL`].
fn levels(test_level: Option<&str>) -> Result<LevelRange, String> {
    match test_level {
        None | Some("") => Ok(SUPPORTED),
        Some(given) if given == Level::TEST.to_string() => Ok(SUPPORTED_IN_TESTS),
        Some(given) => Err(format!("{TEST_LEVEL} is {given:?}; it is for tests of levels alone, unset it")),
    }
}

fn first_start(config: &NodeConfig) -> ExitCode {
    let folder = config.data_dir.display();
    match daemon::take_data_folder(config) {
        Ok(FirstStart::Taken) => {
            println!("{folder} belongs to node {} of site {} of tree {} now; start khod", config.node, config.site, config.tree);
            ExitCode::SUCCESS
        }
        Ok(FirstStart::TakenBefore) => {
            println!(
                "{folder} belongs to node {} of site {} of tree {} already; nothing was changed",
                config.node, config.site, config.tree
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start_log(config: &LogConfig) {
    let filter = tracing_subscriber::EnvFilter::try_new(&config.level).unwrap_or_else(|error| {
        eprintln!("warning: `log.level` is not understood ({error}); logging at `info`");
        tracing_subscriber::EnvFilter::new("info")
    });
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.format {
        LogFormat::Json => log.json().init(),
        LogFormat::Text => log.init(),
    }
}

/// Resolves when the process is asked to stop.
async fn stop_signal() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_of_tests_is_offered_only_when_the_node_is_told_so() {
        assert_eq!(levels(None), Ok(SUPPORTED));
        assert_eq!(levels(Some("2")), Ok(SUPPORTED_IN_TESTS));
        assert_eq!(levels(Some("")), Ok(SUPPORTED));
        assert!(levels(Some("3")).is_err());
    }
}
