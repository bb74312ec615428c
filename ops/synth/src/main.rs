//! `kho-synth`, which `kho synth` becomes: see the library.

use std::process::ExitCode;

use kho_ops::{failure::Verdict, program};
use kho_synth::SynthArgs;

fn main() -> ExitCode {
    program::run(std::env::args_os(), |args: SynthArgs| Ok(kho_synth::run(args).map(|()| Verdict::Good)?))
}
