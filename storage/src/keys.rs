//! Every key that a site's state database holds, in one place. Numbers are big-endian, so that keys sort like numbers.
//!
//! | space | key | value |
//! |---|---|---|
//! | rows | table u8 · origin u32 · generation u32 · row key | format u8 · seq varint · time varint · cells |
//! | streams | origin u32 · epoch u32 · seq u64 | format u8 · chain 32 · digest 32 · rows varint · batch |
//! | cubes | cube u16 · origin u32 · generation u32 · area u32 · dimensions u16… | format u8 · amount zigzag varint |
//! | meta | kind u8 ([`MetaKind`]) · parts ([`Meta`]) | `codec` value |
//!
//! Invariant: these bytes never change their meaning (test `golden_bytes_of_every_key`).

use crate::ids::{CubeId, Generation, Hash32, NodeId, OriginId, SiteId, SiteTime, StreamSeq, TableId};

/// A key space: one column family of the state database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Space {
    Rows,
    Streams,
    Cubes,
    Meta,
}

impl Space {
    pub const ALL: [Space; 4] = [Space::Rows, Space::Streams, Space::Cubes, Space::Meta];

    pub fn name(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Streams => "streams",
            Self::Cubes => "cubes",
            Self::Meta => "meta",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|space| space.name() == name)
    }
}

/// The kind of a key of the space `meta`: its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum MetaKind {
    Applied = 0x01,
    Identity = 0x02,
    Register = 0x03,
    Origin = 0x04,
    Head = 0x05,
    Request = 0x06,
    RequestAge = 0x07,
    Parent = 0x08,
    Evidence = 0x09,
    Transfer = 0x0a,
    Cubes = 0x0b,
    SetBack = 0x0c,
    TurnedBack = 0x0d,
    Diverged = 0x14,
    TrustedRoots = 0x15,
    RootChange = 0x16,
    EvidenceReview = 0x1a,
    Level = 0x20,
    TestNote = 0x21,
}

impl MetaKind {
    pub const ALL: [Self; 19] = [
        Self::Applied,
        Self::Identity,
        Self::Register,
        Self::Origin,
        Self::Head,
        Self::Request,
        Self::RequestAge,
        Self::Parent,
        Self::Evidence,
        Self::Transfer,
        Self::Cubes,
        Self::SetBack,
        Self::TurnedBack,
        Self::Level,
        Self::TestNote,
        Self::Diverged,
        Self::TrustedRoots,
        Self::RootChange,
        Self::EvidenceReview,
    ];

    /// The byte with which every key of this kind starts.
    pub fn byte(self) -> u8 {
        self as u8
    }

    /// The kind that a first byte stands for.
    pub fn of_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.byte() == byte)
    }

    /// Bounds of all keys of this kind; half-open.
    pub fn range(self) -> (Vec<u8>, Vec<u8>) {
        (vec![self.byte()], vec![self.byte() + 1])
    }
}

/// Keys of the space `meta`. Each starts with the byte of its [`MetaKind`]; the parts named here follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meta {
    /// How far the site's log is applied, with the membership then.
    Applied,
    /// Whose data these are: the tree's name and the site.
    Identity,
    /// The adopted register with its signature.
    Register,
    /// origin: where an origin stands.
    Origin(OriginId),
    /// origin · epoch · seq: a signed head.
    Head(OriginId, u32, StreamSeq),
    /// origin · request key: an applied request.
    Request(OriginId, String),
    /// time · origin · request key: the same requests by age.
    RequestAge(SiteTime, OriginId, String),
    /// parent · origin: what a parent acknowledged.
    Parent(SiteId, OriginId),
    /// origin · seq · hash of the evidence (first 8 bytes).
    Evidence(OriginId, StreamSeq, u64),
    /// origin: a whole-origin transfer under way.
    Transfer(OriginId),
    /// The fingerprint of the cubes that the state counts, see [`crate::schema::Schema::cubes_fingerprint`].
    Cubes,
    /// origin: this site's own stream stood further, or elsewhere, before its disks came back older.
    SetBack(OriginId),
    /// node · disk: a node of this site whose disk lost what it had acknowledged.
    TurnedBack(NodeId, u64),
    /// The level at which the site works; absent as long as it is the one of its founding.
    Level,
    /// The newest note of a test, see [`crate::command::Command::NoteTest`].
    TestNote,
    /// node · disk: a node of this site whose data are not those that a majority computed.
    Diverged(NodeId, u64),
    /// Whom the site believes about registers.
    TrustedRoots,
    /// version: a register that changed whom the site believes, for sites that were away meanwhile.
    RootChange(u64),
    /// origin: what an operator said of the evidence that is kept of it.
    EvidenceReview(OriginId),
}

impl Meta {
    pub fn kind(&self) -> MetaKind {
        match self {
            Self::Applied => MetaKind::Applied,
            Self::Identity => MetaKind::Identity,
            Self::Register => MetaKind::Register,
            Self::Origin(_) => MetaKind::Origin,
            Self::Head(..) => MetaKind::Head,
            Self::Request(..) => MetaKind::Request,
            Self::RequestAge(..) => MetaKind::RequestAge,
            Self::Parent(..) => MetaKind::Parent,
            Self::Evidence(..) => MetaKind::Evidence,
            Self::Transfer(_) => MetaKind::Transfer,
            Self::Cubes => MetaKind::Cubes,
            Self::SetBack(_) => MetaKind::SetBack,
            Self::TurnedBack(..) => MetaKind::TurnedBack,
            Self::Level => MetaKind::Level,
            Self::TestNote => MetaKind::TestNote,
            Self::Diverged(..) => MetaKind::Diverged,
            Self::TrustedRoots => MetaKind::TrustedRoots,
            Self::RootChange(_) => MetaKind::RootChange,
            Self::EvidenceReview(_) => MetaKind::EvidenceReview,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(24);
        key.push(self.kind().byte());
        match self {
            Self::Applied | Self::Identity | Self::Register | Self::Cubes | Self::TrustedRoots | Self::Level | Self::TestNote => {}
            Self::RootChange(version) => key.extend(version.to_be_bytes()),
            Self::Origin(origin) | Self::Transfer(origin) | Self::SetBack(origin) | Self::EvidenceReview(origin) => {
                key.extend(origin.0.to_be_bytes());
            }
            Self::Head(origin, epoch, seq) => key.extend(stream(*origin, *epoch, *seq)),
            Self::Request(origin, request) => {
                key.extend(origin.0.to_be_bytes());
                key.extend(request.as_bytes());
            }
            Self::RequestAge(time, origin, request) => {
                key.extend(time.0.to_be_bytes());
                key.extend(origin.0.to_be_bytes());
                key.extend(request.as_bytes());
            }
            Self::Parent(parent, origin) => {
                key.extend(parent.0.to_be_bytes());
                key.extend(origin.0.to_be_bytes());
            }
            Self::TurnedBack(node, disk) | Self::Diverged(node, disk) => {
                key.extend(node.0.to_be_bytes());
                key.extend(disk.to_be_bytes());
            }
            Self::Evidence(origin, seq, hash) => {
                key.extend(origin.0.to_be_bytes());
                key.extend(seq.0.to_be_bytes());
                key.extend(hash.to_be_bytes());
            }
        }
        key
    }

    /// Reads a key of the space; `None` for anything that [`Self::encode`] does not write.
    pub fn decode(key: &[u8]) -> Option<Self> {
        let (&kind, rest) = key.split_first()?;
        let mut rest = Reader(rest);
        let meta = match MetaKind::of_byte(kind)? {
            MetaKind::Applied => Self::Applied,
            MetaKind::Identity => Self::Identity,
            MetaKind::Register => Self::Register,
            MetaKind::Origin => Self::Origin(OriginId(rest.u32()?)),
            MetaKind::Head => Self::Head(OriginId(rest.u32()?), rest.u32()?, StreamSeq(rest.u64()?)),
            MetaKind::Request => Self::Request(OriginId(rest.u32()?), rest.text()?),
            MetaKind::RequestAge => Self::RequestAge(SiteTime(rest.u64()? as i64), OriginId(rest.u32()?), rest.text()?),
            MetaKind::Parent => Self::Parent(SiteId(rest.u32()?), OriginId(rest.u32()?)),
            MetaKind::Evidence => Self::Evidence(OriginId(rest.u32()?), StreamSeq(rest.u64()?), rest.u64()?),
            MetaKind::Transfer => Self::Transfer(OriginId(rest.u32()?)),
            MetaKind::Cubes => Self::Cubes,
            MetaKind::SetBack => Self::SetBack(OriginId(rest.u32()?)),
            MetaKind::TurnedBack => Self::TurnedBack(NodeId(rest.u64()?), rest.u64()?),
            MetaKind::Level => Self::Level,
            MetaKind::TestNote => Self::TestNote,
            MetaKind::Diverged => Self::Diverged(NodeId(rest.u64()?), rest.u64()?),
            MetaKind::TrustedRoots => Self::TrustedRoots,
            MetaKind::RootChange => Self::RootChange(rest.u64()?),
            MetaKind::EvidenceReview => Self::EvidenceReview(OriginId(rest.u32()?)),
        };
        rest.0.is_empty().then_some(meta)
    }
}

/// Key of a row.
pub fn row(table: TableId, origin: OriginId, generation: Generation, key: &[u8]) -> Vec<u8> {
    let mut bytes = row_prefix(table, origin, generation);
    bytes.extend_from_slice(key);
    bytes
}

/// What all rows of one table of a generation share; 9 bytes.
pub fn row_prefix(table: TableId, origin: OriginId, generation: Generation) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(40);
    bytes.push(table.0);
    bytes.extend(origin.0.to_be_bytes());
    bytes.extend(generation.0.to_be_bytes());
    bytes
}

/// Length of what [`row_prefix`] writes.
pub const ROW_PREFIX_BYTES: usize = 9;

/// Reads a row's key back.
pub fn decode_row(key: &[u8]) -> Option<(TableId, OriginId, Generation, &[u8])> {
    let (&table, rest) = key.split_first()?;
    let mut rest = Reader(rest);
    Some((TableId(table), OriginId(rest.u32()?), Generation(rest.u32()?), rest.0))
}

/// Key of a batch.
pub fn stream(origin: OriginId, epoch: u32, seq: StreamSeq) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16);
    bytes.extend(origin.0.to_be_bytes());
    bytes.extend(epoch.to_be_bytes());
    bytes.extend(seq.0.to_be_bytes());
    bytes
}

/// What all batches of an origin share, of every epoch.
pub fn stream_prefix(origin: OriginId) -> Vec<u8> {
    origin.0.to_be_bytes().to_vec()
}

/// What all keys of a kind share that belong to one origin: [`Meta::Head`], [`Meta::Request`], [`Meta::Evidence`].
pub fn meta_prefix(kind: MetaKind, origin: OriginId) -> Vec<u8> {
    [&[kind.byte()][..], &origin.0.to_be_bytes()].concat()
}

/// Reads a batch's key back.
pub fn decode_stream(key: &[u8]) -> Option<(OriginId, u32, StreamSeq)> {
    let mut rest = Reader(key);
    let read = (OriginId(rest.u32()?), rest.u32()?, StreamSeq(rest.u64()?));
    rest.0.is_empty().then_some(read)
}

/// What all cells of one cube of a generation share; 10 bytes.
pub fn cube_prefix(cube: CubeId, origin: OriginId, generation: Generation) -> [u8; CUBE_PREFIX_BYTES] {
    let mut bytes = [0; CUBE_PREFIX_BYTES];
    bytes[..2].copy_from_slice(&cube.0.to_be_bytes());
    bytes[2..6].copy_from_slice(&origin.0.to_be_bytes());
    bytes[6..].copy_from_slice(&generation.0.to_be_bytes());
    bytes
}

/// Length of what [`cube_prefix`] writes.
pub const CUBE_PREFIX_BYTES: usize = 10;

/// Reads a cell's key back: cube, origin, generation, area number, dimensions.
pub fn decode_cube(key: &[u8]) -> Option<(CubeId, OriginId, Generation, u32, Vec<u16>)> {
    let mut rest = Reader(key);
    let (cube, origin, generation, area) = (rest.u16()?, rest.u32()?, rest.u32()?, rest.u32()?);
    if !rest.0.len().is_multiple_of(2) {
        return None;
    }
    let dimensions = rest.0.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    Some((CubeId(cube), OriginId(origin), Generation(generation), area, dimensions))
}

/// The first key after all keys that start with `prefix`.
pub fn successor(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < 0xff {
            *last += 1;
            return end;
        }
        end.pop();
    }
    vec![0xff; prefix.len() + 1]
}

/// The hash by which evidence is named.
pub fn evidence_hash(bytes: &[u8]) -> u64 {
    let hash = Hash32::of(bytes);
    u64::from_be_bytes(hash.0[..8].try_into().expect("8 of 32 bytes"))
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn text(&mut self) -> Option<String> {
        let text = std::str::from_utf8(self.0).ok()?.to_string();
        self.0 = &[];
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        data_encoding::HEXLOWER.encode(bytes)
    }

    #[test]
    fn golden_bytes_of_every_key() {
        let (origin, generation, seq) = (OriginId(0x0102), Generation(3), StreamSeq(0x0405));
        assert_eq!(hex(&row(TableId(2), origin, generation, b"k")), "0200000102000000036b");
        assert_eq!(hex(&stream(origin, 1, seq)), "00000102000000010000000000000405");
        assert_eq!(hex(&cube_prefix(CubeId(9), origin, generation)), "00090000010200000003");
        let metas = [
            (Meta::Applied, "01"),
            (Meta::Identity, "02"),
            (Meta::Register, "03"),
            (Meta::Origin(origin), "0400000102"),
            (Meta::Head(origin, 1, seq), "0500000102000000010000000000000405"),
            (Meta::Request(origin, "r".into()), "060000010272"),
            (Meta::RequestAge(SiteTime(7), origin, "r".into()), "0700000000000000070000010272"),
            (Meta::Parent(SiteId(5), origin), "080000000500000102"),
            (Meta::Evidence(origin, seq, 6), "090000010200000000000004050000000000000006"),
            (Meta::Transfer(origin), "0a00000102"),
            (Meta::Cubes, "0b"),
            (Meta::SetBack(origin), "0c00000102"),
            (Meta::TurnedBack(NodeId(3), 4), "0d00000000000000030000000000000004"),
            (Meta::Level, "20"),
            (Meta::TestNote, "21"),
            (Meta::Diverged(NodeId(3), 4), "1400000000000000030000000000000004"),
            (Meta::TrustedRoots, "15"),
            (Meta::RootChange(5), "160000000000000005"),
            (Meta::EvidenceReview(origin), "1a00000102"),
        ];
        for (meta, golden) in metas {
            assert_eq!(hex(&meta.encode()), golden, "{meta:?}");
            let (from, to) = meta.kind().range();
            assert!((from..to).contains(&meta.encode()), "{meta:?}");
            assert_eq!(Meta::decode(&meta.encode()), Some(meta));
        }
    }

    #[test]
    fn keys_are_read_back_and_sort_like_their_numbers() {
        let key = row(TableId(2), OriginId(1), Generation(3), b"abc");
        assert_eq!(decode_row(&key), Some((TableId(2), OriginId(1), Generation(3), b"abc".as_slice())));
        assert_eq!(decode_stream(&stream(OriginId(1), 2, StreamSeq(3))), Some((OriginId(1), 2, StreamSeq(3))));
        assert!(stream(OriginId(1), 2, StreamSeq(255)) < stream(OriginId(1), 2, StreamSeq(256)));
        assert_eq!(successor(&[1, 0xff]), [2]);
        assert!(successor(&[0xff]) > vec![0xff, 0xff - 1]);
    }

    #[test]
    fn bytes_that_are_not_a_key_are_refused() {
        for bytes in [&[][..], &[0x04, 1], &[0x05, 0, 0, 0, 1], &[0xee], &[0x01, 0]] {
            assert_eq!(Meta::decode(bytes), None);
        }
    }
}
