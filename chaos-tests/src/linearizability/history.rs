//! The calls of the clients of a register, and their answers.

use std::time::Duration;

/// What was called, and its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Every write of a history has a value of its own.
    Write { value: String },
    /// None: there was no such row yet.
    Read { value: Option<String> },
}

/// One call of one client. Times count from the history's beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub client: usize,
    pub key: String,
    pub operation: Operation,
    pub begun: Duration,
    /// None: no answer came. Only a write is kept without one; a read that was not answered says nothing.
    pub ended: Option<Duration>,
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
        write!(f, "client {} from {:.1} ms", self.client, ms(self.begun))?;
        match self.ended {
            Some(ended) => write!(f, " to {:.1} ms: ", ms(ended))?,
            None => f.write_str(", never answered: ")?,
        }
        match &self.operation {
            Operation::Write { value } => write!(f, "write {value}"),
            Operation::Read { value: Some(value) } => write!(f, "read {value}"),
            Operation::Read { value: None } => f.write_str("read nothing"),
        }
    }
}

/// All calls of some clients that ran beside each other, over a handful of keys that nobody else used.
#[derive(Debug, Default, Clone)]
pub struct History {
    pub calls: Vec<Call>,
}

impl History {
    /// Writes whose outcome nobody knows.
    pub fn unanswered(&self) -> usize {
        self.calls.iter().filter(|call| call.ended.is_none()).count()
    }

    /// Calls that had not ended at that time.
    pub fn ending_after(&self, at: Duration) -> usize {
        self.calls.iter().filter(|call| call.ended.is_none_or(|ended| ended > at)).count()
    }

    /// The most calls under way at one moment.
    pub fn concurrency(&self) -> usize {
        let under_way =
            |at: Duration| self.calls.iter().filter(|call| call.begun <= at && call.ended.is_none_or(|ended| ended > at)).count();
        self.calls.iter().map(|call| under_way(call.begun)).max().unwrap_or(0)
    }
}
