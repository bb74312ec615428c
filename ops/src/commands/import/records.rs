//! Finds where records end, exactly as the entry of a node does, without looking at values.

use serde::{Deserialize, Serialize};

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum RecordForm {
    /// RFC 4180; a quoted field may hold line feeds.
    Csv,
    /// One JSON object a line.
    Ndjson,
}

impl RecordForm {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the start of a field.
    Start,
    Plain,
    Quoted,
    /// After a quote inside quotes: the field's end, or the first half of a doubled quote.
    Closed,
    /// As `Closed`, after a carriage return.
    ClosedReturn,
}

/// Where a record ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordEnd {
    /// Bytes of the piece up to and with the line feed.
    pub bytes: usize,
    /// Lines that the record takes.
    pub lines: u64,
}

/// Cuts a stream of bytes into records.
#[derive(Debug)]
pub struct RecordCutter {
    form: RecordForm,
    state: State,
    /// Line feeds of the record under way.
    lines: u64,
}

impl RecordCutter {
    pub fn new(form: RecordForm) -> Self {
        Self { form, state: State::Start, lines: 0 }
    }

    /// Goes on with the next piece of the record under way; `None` when it does not end in `bytes`, all of which were then
    /// taken in.
    pub fn next_end(&mut self, bytes: &[u8]) -> Option<RecordEnd> {
        let mut at = 0;
        while at < bytes.len() {
            at += self.plain_length(&bytes[at..]);
            let Some(byte) = bytes.get(at) else { break };
            at += 1;
            if *byte == b'\n' {
                self.lines += 1;
                if self.state != State::Quoted {
                    self.state = State::Start;
                    return Some(RecordEnd { bytes: at, lines: std::mem::take(&mut self.lines) });
                }
            } else if self.form == RecordForm::Csv {
                self.state = next_state(self.state, *byte);
            }
        }
        None
    }

    /// The stream ended behind the `bytes` of the record under way.
    pub fn finish(&mut self, bytes: &[u8]) -> Option<RecordEnd> {
        let lines = std::mem::take(&mut self.lines) + u64::from(bytes.last() != Some(&b'\n'));
        self.state = State::Start;
        (!bytes.is_empty()).then_some(RecordEnd { bytes: bytes.len(), lines })
    }

    /// How many bytes from the start mean nothing in this state.
    fn plain_length(&self, bytes: &[u8]) -> usize {
        let means = |byte: &u8| match (self.form, self.state) {
            (RecordForm::Ndjson, _) => *byte == b'\n',
            (RecordForm::Csv, State::Quoted) => matches!(byte, b'"' | b'\n'),
            (RecordForm::Csv, State::Plain) => matches!(byte, b',' | b'\n'),
            (RecordForm::Csv, _) => true,
        };
        bytes.iter().position(means).unwrap_or(bytes.len())
    }
}

/// One byte of CSV that is not a line feed.
fn next_state(state: State, byte: u8) -> State {
    match (state, byte) {
        (State::Quoted, b'"') => State::Closed,
        (State::Quoted, _) | (State::Closed | State::Start, b'"') => State::Quoted,
        (_, b',') => State::Start,
        (State::Closed, b'\r') => State::ClosedReturn,
        _ => State::Plain,
    }
}

/// Whether the site passes a record over as an empty line.
pub fn is_blank(form: RecordForm, record: &[u8]) -> bool {
    match form {
        RecordForm::Csv => matches!(record, b"\n" | b"\r\n" | b"\r" | b""),
        RecordForm::Ndjson => record.trim_ascii().is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn records(form: RecordForm, text: &[u8], piece: usize) -> Vec<(Vec<u8>, u64)> {
        let mut cutter = RecordCutter::new(form);
        let (mut found, mut record) = (Vec::new(), Vec::new());
        for mut piece in text.chunks(piece) {
            while let Some(end) = cutter.next_end(piece) {
                record.extend_from_slice(&piece[..end.bytes]);
                found.push((std::mem::take(&mut record), end.lines));
                piece = &piece[end.bytes..];
            }
            record.extend_from_slice(piece);
        }
        if let Some(end) = cutter.finish(&record) {
            found.push((record, end.lines));
        }
        found
    }

    #[test]
    fn a_line_feed_in_quotes_does_not_end_a_record() {
        let found = records(RecordForm::Csv, b"a,b\r\n1,\"x\ny\"\n2,\"q\"\"\nr\"\n3", 1);
        let expected: [(&[u8], u64); 4] = [(b"a,b\r\n", 1), (b"1,\"x\ny\"\n", 2), (b"2,\"q\"\"\nr\"\n", 2), (b"3", 1)];
        assert_eq!(found, expected.map(|(record, lines)| (record.to_vec(), lines)));
    }

    #[test]
    fn a_quote_inside_a_plain_field_opens_nothing() {
        assert_eq!(records(RecordForm::Csv, b"5\" pipe,x\ny\n", 3).len(), 2);
        assert_eq!(records(RecordForm::Csv, b"\"a\"\r\"b\ny\n", 3).len(), 2);
        assert_eq!(records(RecordForm::Ndjson, b"{\"a\":\"\n{}\n", 3).len(), 2);
    }

    proptest! {
        #[test]
        fn records_do_not_depend_on_how_the_stream_comes_in_pieces(text in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b','), Just(b'\n'), Just(b'\r'), Just(b'x')], 0..120), piece in 1usize..40) {
            for form in [RecordForm::Csv, RecordForm::Ndjson] {
                let whole = records(form, &text, text.len().max(1));
                prop_assert_eq!(&records(form, &text, piece), &whole);
                prop_assert_eq!(whole.iter().flat_map(|(record, _)| record.clone()).collect::<Vec<_>>(), text.clone());
            }
        }
    }
}
