//! A broken promise ends the run at once, with the log up to that moment.

use std::panic::resume_unwind;

use crate::trace::Trace;

/// What was broken.
#[derive(Debug)]
pub struct Violation {
    pub what: String,
    pub trace: Trace,
}

/// Ends the run. Unwinds without a message: the caller of the run reports what happened, and with which seed.
pub fn violated(what: String, trace: Trace) -> ! {
    resume_unwind(Box::new(Violation { what, trace }))
}
