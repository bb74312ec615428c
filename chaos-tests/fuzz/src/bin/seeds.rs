//! `kho-fuzz-seeds DIR`: writes a corpus from real traffic, a folder a target.
//! `kho-fuzz-seeds --replay TARGET FILE…`: runs one target over bytes that it was found to break on.

use std::{path::Path, process::ExitCode};

use kho_fuzz::{seeds, targets};
// Code that counts its edges needs somebody to count for.
use libfuzzer_sys as _;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--list"] => Ok(targets::ALL.map(|(name, _)| name).join("\n")),
        ["--replay", name, ref files @ ..] => replay(name, files),
        [dir] => seeds::write(Path::new(dir)).map(|number| format!("{number} seeds are in {dir}")),
        _ => Err(anyhow::anyhow!("give a folder for the seeds, --list, or --replay TARGET FILE…")),
    };
    match done {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn replay(name: &str, files: &[&str]) -> anyhow::Result<String> {
    let known = targets::ALL.iter().find(|(known, _)| *known == name);
    let (_, target) = known.ok_or_else(|| anyhow::anyhow!("there is no target {name}; see --list"))?;
    for file in files {
        target(&std::fs::read(file)?);
    }
    Ok(format!("{name} holds over {} files", files.len()))
}
