//! One run, from its seed to its end.

use std::panic::{AssertUnwindSafe, catch_unwind};

use kho_storage::signature::remembered::remember_on_this_thread;

use crate::{counts::Counts, violation::Violation, world::World};

/// How a run ended.
#[derive(Debug)]
pub struct Run {
    pub seed: u64,
    pub counts: Counts,
    /// Virtual time that it took, in milliseconds.
    pub lasted_ms: u64,
    /// What was broken, if anything.
    pub broken: Option<String>,
    /// The log, when it was requested.
    pub trace: Vec<String>,
}

/// Runs one seed. With `traced` the log is kept.
pub fn run(seed: u64, traced: bool) -> Run {
    remember_on_this_thread();
    let lived = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(seed, traced);
        world.live();
        (world.counts, world.now.0, world.trace.into_lines())
    }));
    match lived {
        Ok((counts, lasted_ms, trace)) => Run { seed, counts, lasted_ms, broken: None, trace },
        Err(panic) => {
            let (what, trace) = match panic.downcast::<Violation>() {
                Ok(violation) => (violation.what, violation.trace.into_lines()),
                Err(panic) => (panic_text(&*panic), Vec::new()),
            };
            Run { seed, counts: Counts::default(), lasted_ms: 0, broken: Some(what), trace }
        }
    }
}

/// The message of a panic in the product.
fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("a panic: {}", text.unwrap_or("without a message"))
}
