//! How a command ends: the exit codes that scripts rely on, and one error with what to do about it.

use std::{
    fmt,
    io::{self, Write as _},
    process::ExitCode,
};

use kho_node::api::Problem;

/// What the exit codes mean; part of `kho --help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done, and nothing wrong was found
  1  refused, or a problem was found
  2  wrong use: an argument, a file name or a setting
  3  no node could be reached, and nothing was changed
  4  unknown outcome: the request was sent and no answer came; check before you repeat it";

/// A command that ran to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Good,
    /// It was done, and what it found is a problem; all was said already.
    Bad,
}

/// Whose fault an error is, as far as a script needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    Refused,
    Usage,
    Unreachable,
    Unknown,
    /// Whoever read the output stopped reading, as `head` does; no error.
    OutputClosed,
}

/// Why a command did not run to its end. Printed once, by [`conclude`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    pub message: String,
    /// Names the next command or step; may be empty when the message holds it.
    pub hint: String,
}

impl Failure {
    pub fn new(kind: FailureKind, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: hint.into() }
    }

    pub fn refused(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(FailureKind::Refused, message, hint)
    }

    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(FailureKind::Usage, message, hint)
    }

    /// A refusal as a node worded it.
    pub fn of_problem(problem: &Problem) -> Self {
        Self::refused(format!("{} ({})", problem.message, problem.code), problem.hint.clone())
    }

    fn exit_code(&self) -> u8 {
        match self.kind {
            FailureKind::OutputClosed => 0,
            FailureKind::Refused => 1,
            FailureKind::Usage => 2,
            FailureKind::Unreachable => 3,
            FailureKind::Unknown => 4,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "\n  hint: {}", self.hint) }
    }
}

/// Errors of writing to standard output; files are named where they are used.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(FailureKind::OutputClosed, "the output was closed", ""),
            _ => Self::refused(format!("the output could not be written: {error}"), "check where standard output leads"),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let closed =
            error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|cause| cause.kind() == io::ErrorKind::BrokenPipe);
        Self::new(if closed { FailureKind::OutputClosed } else { FailureKind::Refused }, format!("{error:#}"), "")
    }
}

impl From<kho_storage::error::StorageError> for Failure {
    fn from(error: kho_storage::error::StorageError) -> Self {
        Self::refused(error.to_string(), "")
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        match error.io_error_kind() {
            Some(kind) => Self::from(io::Error::from(kind)),
            None => Self::refused(format!("a value could not be put into JSON: {error}"), ""),
        }
    }
}

/// Prints what went wrong, once, and gives the process' exit code.
pub fn conclude(outcome: Result<Verdict, Failure>) -> ExitCode {
    match outcome {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Bad) => ExitCode::from(1),
        Err(failure) => {
            if failure.kind != FailureKind::OutputClosed {
                // Nothing is left to be done when even standard error is closed.
                let _ = writeln!(io::stderr(), "{failure}");
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_end_has_the_exit_code_that_the_help_names() {
        let code = |kind| Failure::new(kind, "", "").exit_code();
        assert_eq!(
            [FailureKind::OutputClosed, FailureKind::Refused, FailureKind::Usage, FailureKind::Unreachable, FailureKind::Unknown].map(code),
            [0, 1, 2, 3, 4]
        );
        for (code, line) in EXIT_CODES.lines().skip(1).enumerate() {
            assert!(line.trim_start().starts_with(&code.to_string()), "{line}");
        }
    }

    #[test]
    fn an_error_is_shown_with_its_hint_on_the_next_line() {
        assert_eq!(Failure::refused("no", "say please").to_string(), "error: no\n  hint: say please");
        assert_eq!(Failure::refused("no", "").to_string(), "error: no");
    }

    #[test]
    fn a_reader_that_stops_reading_is_no_error() {
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).exit_code(), 0);
        assert_eq!(Failure::from(anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("printing")).exit_code(), 0);
    }
}
