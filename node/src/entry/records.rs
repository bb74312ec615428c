//! Cuts CSV bytes into records and fields as they arrive; holds at most one record.
//!
//! ```text
//!            "                     other
//! Start ──────────► Quoted      Start ──► Plain ─┐ other
//!   ▲                │ ▲ "          ▲            │
//!   │ ,            " ▼ │ (doubled)  └── , ───────┤
//!   └───────────── Closed ── other ──► Plain (a bad quote)
//! ```
//! A line feed ends the record except inside `Quoted`; a carriage return before it belongs to the line end.

/// Where a field stands in its record, without its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FieldSpan {
    pub start: usize,
    pub end: usize,
    /// Holds doubled quotes, each of which stands for one.
    pub doubled: bool,
}

/// One record.
#[derive(Debug)]
pub(super) struct Record<'r> {
    pub bytes: &'r [u8],
    pub fields: &'r [FieldSpan],
    /// Line at which it starts, from 1.
    pub line: u64,
    /// Byte of the body at which it starts.
    pub offset: u64,
    /// The first field with a quote where none may stand.
    pub bad_quote: Option<usize>,
}

/// Why cutting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameStop<E> {
    /// The record under way passed its limit; `quoted`: inside quotes.
    TooLong {
        quoted: bool,
    },
    /// The body ended inside quotes.
    Unterminated,
    Sink(E),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Plain,
    Quoted,
    /// After a quote inside quotes: the field's end, or the first half of a doubled quote.
    Closed,
    /// As `Closed`, after a carriage return.
    ClosedReturn,
}

/// The cutter.
#[derive(Debug)]
pub(super) struct Records {
    line_bytes_max: usize,
    /// Part of the record under way that came in earlier pieces.
    pending: Vec<u8>,
    fields: Vec<FieldSpan>,
    state: State,
    /// Of the field under way, from the start of the record.
    start: usize,
    /// Where its closing quote stands.
    closed_at: Option<usize>,
    doubled: bool,
    bad_quote: Option<usize>,
    line: u64,
    /// Line feeds inside quotes of the record under way.
    inner_lines: u64,
    offset: u64,
}

impl Records {
    pub fn new(line_bytes_max: usize) -> Self {
        Self {
            line_bytes_max,
            pending: Vec::new(),
            fields: Vec::new(),
            state: State::Start,
            start: 0,
            closed_at: None,
            doubled: false,
            bad_quote: None,
            line: 1,
            inner_lines: 0,
            offset: 0,
        }
    }

    pub fn skip(&mut self, bytes: u64) {
        self.offset += bytes;
    }

    /// Line at which the record under way starts.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The field under way, from 0.
    pub fn field_under_way(&self) -> usize {
        self.fields.len()
    }

    pub fn line_bytes_max(&self) -> usize {
        self.line_bytes_max
    }

    /// Cuts `chunk` and gives whole records to `sink`; blank lines are passed over.
    pub fn feed<E>(&mut self, chunk: &[u8], mut sink: impl FnMut(&Record<'_>) -> Result<(), E>) -> Result<(), FrameStop<E>> {
        // Where in `chunk` the record under way starts, and how much of it came before.
        let (mut from, mut held) = (0, self.pending.len());
        let mut at = 0;
        while at < chunk.len() {
            // One byte beyond the limit, so that a record is refused at the same byte however the body was cut.
            let end = chunk.len().min(from + (self.line_bytes_max.saturating_add(1) - held));
            if matches!(self.state, State::Plain | State::Quoted) {
                at += plain_length(&chunk[at..end], self.state == State::Quoted);
            }
            if at < end {
                if chunk[at] == b'\n' && self.state != State::Quoted {
                    self.end_record(&chunk[from..at], &mut sink).map_err(FrameStop::Sink)?;
                    at += 1;
                    (from, held) = (at, 0);
                    continue;
                }
                self.step(chunk[at], held + at - from);
                at += 1;
            }
            if held + at - from > self.line_bytes_max {
                return Err(FrameStop::TooLong { quoted: self.state == State::Quoted });
            }
        }
        self.pending.extend_from_slice(&chunk[from..]);
        Ok(())
    }

    /// The body ended; the last record may lack its line end.
    pub fn finish<E>(&mut self, mut sink: impl FnMut(&Record<'_>) -> Result<(), E>) -> Result<(), FrameStop<E>> {
        if self.state == State::Quoted {
            return Err(FrameStop::Unterminated);
        }
        self.end_record(&[], &mut sink).map_err(FrameStop::Sink)
    }

    /// One byte that is no line end; `at` from the start of the record.
    fn step(&mut self, byte: u8, at: usize) {
        self.state = match (self.state, byte) {
            (State::Quoted, b'"') => {
                self.closed_at = Some(at);
                State::Closed
            }
            (State::Quoted, b'\n') => {
                self.inner_lines += 1;
                State::Quoted
            }
            (State::Quoted, _) => State::Quoted,
            (State::Closed, b'"') => {
                self.doubled = true;
                self.closed_at = None;
                State::Quoted
            }
            (_, b',') => {
                self.end_field(at);
                self.start = at + 1;
                State::Start
            }
            (State::Closed, b'\r') => State::ClosedReturn,
            (State::Start, b'"') => {
                self.start = at + 1;
                State::Quoted
            }
            (State::Closed | State::ClosedReturn, _) | (State::Plain, b'"') => {
                self.bad_quote.get_or_insert(self.fields.len());
                State::Plain
            }
            (State::Start | State::Plain, _) => State::Plain,
        };
    }

    fn end_field(&mut self, at: usize) {
        let end = self.closed_at.take().unwrap_or(at);
        self.fields.push(FieldSpan { start: self.start, end, doubled: std::mem::take(&mut self.doubled) });
    }

    /// Ends the record, whose last bytes are `tail`.
    fn end_record<E>(&mut self, tail: &[u8], sink: &mut impl FnMut(&Record<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut pending = std::mem::take(&mut self.pending);
        let whole = if pending.is_empty() {
            tail
        } else {
            pending.extend_from_slice(tail);
            &pending
        };
        let bytes = whole.strip_suffix(b"\r").unwrap_or(whole);
        self.end_field(bytes.len());
        let taken = if bytes.is_empty() {
            Ok(())
        } else {
            sink(&Record { bytes, fields: &self.fields, line: self.line, offset: self.offset, bad_quote: self.bad_quote })
        };
        self.line += 1 + self.inner_lines;
        self.offset += whole.len() as u64 + 1;
        pending.clear();
        self.pending = pending;
        self.fields.clear();
        (self.state, self.start, self.inner_lines, self.bad_quote) = (State::Start, 0, 0, None);
        taken
    }
}

/// How many bytes from the start mean nothing to the cutter.
fn plain_length(bytes: &[u8], quoted: bool) -> usize {
    let means = |byte: &u8| if quoted { matches!(byte, b'"' | b'\n') } else { matches!(byte, b'"' | b'\n' | b',') };
    bytes.iter().position(means).unwrap_or(bytes.len())
}
