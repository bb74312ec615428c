//! `kho`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    kho_ops::cli::run(std::env::args_os())
}
