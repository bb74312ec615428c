//! The demonstration's steps, printed as they happen.

use std::{process::Command, time::Instant};

use anyhow::{Context as _, bail};
use kho_ops::program::beside;

/// Prints what is being done and how long it took.
pub struct Steps {
    started: Instant,
    step: Option<Instant>,
    count: u32,
}

impl Steps {
    pub fn start() -> Self {
        Self { started: Instant::now(), step: None, count: 0 }
    }

    pub fn begin(&mut self, what: &str) {
        self.end_step();
        self.count += 1;
        self.step = Some(Instant::now());
        println!("\n[{}] {what}", self.count);
    }

    pub fn note(&self, what: &str) {
        println!("    {what}");
    }

    pub fn end(&mut self) {
        self.end_step();
        println!("\nAll of it took {:.0} s.", self.started.elapsed().as_secs_f64());
    }

    fn end_step(&mut self) {
        if let Some(step) = self.step.take() {
            println!("    ({:.1} s)", step.elapsed().as_secs_f64());
        }
    }
}

/// Runs `kho` as an operator would, and shows the command.
pub fn run_kho(arguments: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<()> {
    let shown: Vec<&str> = arguments.iter().copied().take(8).collect();
    println!("    $ kho {}{}", shown.join(" "), if arguments.len() > shown.len() { " …" } else { "" });
    let program = beside("kho")?;
    let status = Command::new(&program)
        .args(arguments)
        .envs(environment.iter().copied())
        .status()
        .with_context(|| format!("{} could not be run", program.display()))?;
    if !status.success() {
        bail!("`kho {}` ended with {status}", arguments.join(" "));
    }
    Ok(())
}

/// Whether the process `id` is a khod, so that nobody else's process is ever ended.
pub fn is_khod(id: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|name| name.trim() == "khod")
}
