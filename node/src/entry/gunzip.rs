//! gzip (RFC 1952) unpacked as it arrives: one or more members, each checked against its checksum and length.
//!
//! ```text
//! Head(10) ─► Extra? ─► Name? ─► Comment? ─► HeadSum? ─► Data ─► Trailer(8) ─► between members ─► Head …
//! ```
//! Holds one output buffer and the 32 KiB window, whatever the input unfolds to; the sink decides when it is enough.

use flate2::{Crc, Decompress, FlushDecompress, Status};

const OUTPUT_BYTES: usize = 32 << 10;
const MAGIC: [u8; 2] = [0x1f, 0x8b];
const DEFLATE: u8 = 8;
const FLAG_HEAD_SUM: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;
const FLAGS_RESERVED: u8 = 0b1110_0000;

/// What is wrong with the compressed data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GunzipError {
    /// The first bytes are not those of gzip with deflate.
    NotGzip,
    Corrupt,
    Truncated,
    /// Bytes behind the last member that begin no other member.
    Trailing,
}

/// Why unpacking ended: the data are wrong, or the sink wants no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GunzipStop<E> {
    Data(GunzipError),
    Sink(E),
}

/// Fields of a fixed length are gathered in `Gunzip::field`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    ExtraLength,
    Extra {
        left: usize,
    },
    Name,
    Comment,
    HeadSum,
    Data,
    Trailer,
    /// A member ended: the body may end here.
    Between,
}

/// The unpacker.
pub(super) struct Gunzip {
    state: State,
    flags: u8,
    /// Bytes of the fixed field under way.
    field: Vec<u8>,
    inflate: Decompress,
    crc: Crc,
    output: Box<[u8]>,
    first_member: bool,
}

impl Gunzip {
    pub fn new() -> Self {
        Self {
            state: State::Head,
            flags: 0,
            field: Vec::with_capacity(10),
            inflate: Decompress::new(false),
            crc: Crc::new(),
            output: vec![0; OUTPUT_BYTES].into_boxed_slice(),
            first_member: true,
        }
    }

    /// Unpacks `input` and gives what comes out to `sink`, piece by piece.
    ///
    /// # Errors
    /// The sink's own error at once; [`GunzipError`] at the first byte that is wrong.
    pub fn feed<E>(&mut self, mut input: &[u8], mut sink: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), GunzipStop<E>> {
        while !input.is_empty() {
            match self.state {
                State::Data => self.unpack(&mut input, &mut sink)?,
                _ => self.frame(&mut input).map_err(GunzipStop::Data)?,
            }
        }
        Ok(())
    }

    /// The input ended.
    ///
    /// # Errors
    /// [`GunzipError::Truncated`] unless a member just ended. No input at all is no gzip either.
    pub fn finish(&self) -> Result<(), GunzipError> {
        match self.state {
            State::Between => Ok(()),
            State::Head if self.first_member && self.field.is_empty() => Err(GunzipError::NotGzip),
            _ => Err(GunzipError::Truncated),
        }
    }

    fn unpack<E>(&mut self, input: &mut &[u8], sink: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), GunzipStop<E>> {
        loop {
            let (read_before, made_before) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self.inflate.decompress(input, &mut self.output, FlushDecompress::None);
            let read = (self.inflate.total_in() - read_before) as usize;
            let made = (self.inflate.total_out() - made_before) as usize;
            *input = &input[read..];
            let piece = &self.output[..made];
            self.crc.update(piece);
            sink(piece).map_err(GunzipStop::Sink)?;
            match status {
                Err(_) => return Err(GunzipStop::Data(GunzipError::Corrupt)),
                Ok(Status::StreamEnd) => {
                    self.enter(State::Trailer);
                    return Ok(());
                }
                // A full output buffer may mean that more waits inside; otherwise more input is needed.
                Ok(_) if input.is_empty() && made < self.output.len() => return Ok(()),
                Ok(_) if read == 0 && made == 0 => return Err(GunzipStop::Data(GunzipError::Corrupt)),
                Ok(_) => {}
            }
        }
    }

    /// Reads what stands around the data of a member.
    fn frame(&mut self, input: &mut &[u8]) -> Result<(), GunzipError> {
        match self.state {
            State::Head => {
                let whole = self.gather(input, 10);
                self.check_head()?;
                if whole {
                    self.flags = self.field[3];
                    self.enter_after(State::Head);
                }
            }
            State::ExtraLength => {
                if self.gather(input, 2) {
                    let left = usize::from(u16::from_le_bytes([self.field[0], self.field[1]]));
                    if left == 0 { self.enter_after(State::ExtraLength) } else { self.enter(State::Extra { left }) }
                }
            }
            State::Extra { left } => {
                let read = left.min(input.len());
                *input = &input[read..];
                if read == left { self.enter_after(State::ExtraLength) } else { self.state = State::Extra { left: left - read } }
            }
            State::Name | State::Comment => match input.iter().position(|byte| *byte == 0) {
                Some(end) => {
                    *input = &input[end + 1..];
                    self.enter_after(self.state);
                }
                None => *input = &[],
            },
            State::HeadSum => {
                if self.gather(input, 2) {
                    self.enter_after(State::HeadSum);
                }
            }
            State::Trailer => {
                if self.gather(input, 8) {
                    self.check_trailer()?;
                    self.first_member = false;
                    self.enter(State::Between);
                }
            }
            State::Between => self.enter(State::Head),
            State::Data => unreachable!("data are unpacked, not framed"),
        }
        Ok(())
    }

    /// Takes bytes until the field under way has `length`; whether it has.
    fn gather(&mut self, input: &mut &[u8], length: usize) -> bool {
        let read = (length - self.field.len()).min(input.len());
        self.field.extend_from_slice(&input[..read]);
        *input = &input[read..];
        self.field.len() == length
    }

    /// Checks as many bytes of a member's head as are there.
    fn check_head(&self) -> Result<(), GunzipError> {
        let given = |place: usize| self.field.get(place).copied();
        let fits =
            given(0).is_none_or(|b| b == MAGIC[0]) && given(1).is_none_or(|b| b == MAGIC[1]) && given(2).is_none_or(|b| b == DEFLATE);
        match (fits, self.first_member) {
            (false, true) => Err(GunzipError::NotGzip),
            (false, false) => Err(GunzipError::Trailing),
            (true, _) if given(3).is_some_and(|flags| flags & FLAGS_RESERVED != 0) => Err(GunzipError::Corrupt),
            (true, _) => Ok(()),
        }
    }

    fn check_trailer(&self) -> Result<(), GunzipError> {
        let number = |at: usize| u32::from_le_bytes([self.field[at], self.field[at + 1], self.field[at + 2], self.field[at + 3]]);
        if number(0) == self.crc.sum() && number(4) == self.crc.amount() { Ok(()) } else { Err(GunzipError::Corrupt) }
    }

    fn enter(&mut self, state: State) {
        self.field.clear();
        self.state = state;
        if state == State::Data {
            self.inflate.reset(false);
            self.crc.reset();
        }
    }

    /// Goes on to the next part of the head that the flags announce.
    fn enter_after(&mut self, done: State) {
        let parts = [
            (State::Head, 0),
            (State::ExtraLength, FLAG_EXTRA),
            (State::Name, FLAG_NAME),
            (State::Comment, FLAG_COMMENT),
            (State::HeadSum, FLAG_HEAD_SUM),
        ];
        let next = parts.iter().skip_while(|(state, _)| *state != done).skip(1).find(|(_, flag)| self.flags & flag != 0);
        self.enter(next.map_or(State::Data, |(state, _)| *state));
    }
}
