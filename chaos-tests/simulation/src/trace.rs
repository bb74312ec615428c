//! The log of a run. Lines are only made when somebody will read them.

use kho_replication::link_time::LinkTime;

/// What becomes of the lines.
#[derive(Debug, Default)]
pub struct Trace {
    lines: Option<Vec<String>>,
}

impl Trace {
    /// Keeps lines when `kept`, else forgets them unread.
    pub fn new(kept: bool) -> Self {
        Self { lines: kept.then(Vec::new) }
    }

    /// Notes what `line` says; it is not called when nobody reads.
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
