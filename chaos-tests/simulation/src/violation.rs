//! A broken promise ends the run at once, with the log up to there.

use std::panic::resume_unwind;

use crate::trace::Trace;

/// What was broken.
#[derive(Debug)]
pub struct Violation {
    pub what: String,
    pub trace: Trace,
}

/// Ends the run. Unwinds without a word: whoever started the run says what happened, and by which seed.
pub fn violated(what: String, trace: Trace) -> ! {
    resume_unwind(Box::new(Violation { what, trace }))
}
