//! The log of a run. Lines of text are made only when somebody will read them.

use kho_replication::link_time::LinkTime;

/// The lines, if they are kept.
#[derive(Debug, Default)]
pub struct Trace {
    lines: Option<Vec<String>>,
}

impl Trace {
    /// Keeps the lines when `kept`; otherwise none is made.
    pub fn new(kept: bool) -> Self {
        Self { lines: kept.then(Vec::new) }
    }

    /// Adds the line that `line` makes. It is not called when no lines are kept.
    pub fn note(&mut self, now: LinkTime, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>7}.{:03} {}", now.0 / 1000, now.0 % 1000, line()));
        }
    }

    pub fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }

    /// The lines noted so far.
    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }
}
