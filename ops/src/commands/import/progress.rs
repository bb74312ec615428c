//! The progress bar of an import: bytes of the files, rows, rows a second.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use crate::commands::print::grouped;

/// Shown on standard error while it is a terminal.
pub struct ImportProgress {
    bar: ProgressBar,
    started: Instant,
    rows: u64,
    /// Bytes of the files before the one under way.
    bytes_before: u64,
}

impl ImportProgress {
    /// `bytes` is the size of all files; 0 when it is unknown.
    pub fn start(bytes: u64) -> Self {
        let (bar, template) = if bytes == 0 {
            (ProgressBar::new_spinner(), "{spinner} {msg}  {elapsed}")
        } else {
            (ProgressBar::new(bytes), "{wide_bar} {binary_bytes} of {binary_total_bytes}  {msg}  {eta} left")
        };
        // The templates are constants; a malformed one would only cost the bar its looks.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Self { bar: bar.with_style(style), started: Instant::now(), rows: 0, bytes_before: 0 }
    }

    /// `rows` more are in; the file under way was read up to `bytes_read`.
    pub fn advance(&mut self, rows: u64, bytes_read: u64) {
        self.rows += rows;
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        self.bar.set_message(format!("{} rows, {} rows/s", grouped(self.rows), grouped((self.rows as f64 / seconds) as u64)));
        self.bar.set_position(self.bytes_before + bytes_read);
    }

    pub fn finish_file(&mut self, bytes: u64) {
        self.bytes_before += bytes;
        self.bar.set_position(self.bytes_before);
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
