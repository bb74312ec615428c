//! The names of things: small newtypes, so that no naked integer crosses a function boundary.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A name that could not be read: what was given and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a valid {wanted}; give a whole number")]
pub struct IdError {
    given: String,
    wanted: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($int:ty), $wanted:literal) => {
        $(#[$doc])*
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                text.parse().map(Self).map_err(|_| IdError { given: text.chars().take(40).collect(), wanted: $wanted })
            }
        }
    };
}

id!(
    /// A site: 1, 3 or 5 nodes that hold the same data. Given by the register, never reused.
    SiteId(u32),
    "site id"
);
id!(
    /// A node of a site. Unique within its site, never reused: a node that lost its disk returns under a new id.
    NodeId(u64),
    "node id"
);
id!(
    /// An author of changes. A site usually authors the origin that bears its own number.
    OriginId(u32),
    "origin id"
);
id!(
    /// Position of a batch in an origin's stream. The first batch has 1; 0 stands for "before the first".
    StreamSeq(u64),
    "sequence number"
);
id!(
    /// One complete build of an origin's replica at some site; local to that site.
    Generation(u32),
    "generation"
);
id!(
    /// A table of the schema. Numbers are given once and never reused.
    TableId(u8),
    "table number"
);
id!(
    /// A column of a table. Numbers are given once and never reused.
    ColumnId(u16),
    "column number"
);
id!(
    /// A cube of the schema. Numbers are given once and never reused.
    CubeId(u16),
    "cube number"
);
id!(
    /// Milliseconds since 1970-01-01 UTC. The node that takes a request stamps the time that it believes into the command; applying
    /// the command makes the time monotonic, so that it never goes back within an origin's stream.
    SiteTime(i64),
    "site time in milliseconds"
);

impl StreamSeq {
    /// The sequence that follows.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The sequence before this one; 0 stays 0.
    pub fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl SiteTime {
    /// RFC 3339 text in UTC, to the second; what people read.
    pub fn to_rfc3339(self) -> String {
        jiff::Timestamp::from_millisecond(self.0).map_or_else(|_| self.0.to_string(), |t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
    }

    /// Reads what [`Self::to_rfc3339`] writes, and any other RFC 3339 text; `None` for anything else.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|time| Self(time.as_millisecond()))
    }

    /// Whole seconds from `earlier` to `self`, never below zero.
    pub fn seconds_since(self, earlier: SiteTime) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0) / 1000
    }
}

/// The incarnation of an origin: a number that grows and a random id that tells two claimants of one number apart.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch {
    pub number: u32,
    pub id: u64,
}

impl Epoch {
    /// The first epoch of an origin. Its id derives from the origin and the tree's name, so that every site that
    /// reads the register knows it without asking.
    pub fn first(tree: &str, origin: OriginId) -> Self {
        let hash = blake3::hash(format!("kho epoch 1 of origin {origin} in {tree}").as_bytes());
        let mut id = [0; 8];
        id.copy_from_slice(&hash.as_bytes()[..8]);
        Self { number: 1, id: u64::from_le_bytes(id) }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.number, self.id)
    }
}

/// A 32-byte BLAKE3 hash, shown as hexadecimal.
#[derive(Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash32(pub [u8; 32]);

impl Hash32 {
    /// The hash of nothing yet: where every chain starts.
    pub const ZERO: Self = Self([0; 32]);

    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    pub fn to_hex(self) -> String {
        data_encoding::HEXLOWER.encode(&self.0)
    }
}

impl fmt::Debug for Hash32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Display for Hash32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl FromStr for Hash32 {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let refused = || IdError { given: text.chars().take(80).collect(), wanted: "32-byte hash in hexadecimal" };
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| refused())?;
        bytes.try_into().map(Self).map_err(|_| refused())
    }
}

impl Serialize for Hash32 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.serialize_str(&self.to_hex()) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Hash32 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
        } else {
            <[u8; 32]>::deserialize(deserializer).map(Self)
        }
    }
}

/// A tier of the tree, lowest first. A parent's tier is strictly higher than its child's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    Commune,
    District,
    Province,
    Region,
    Central,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Commune => "commune",
            Self::District => "district",
            Self::Province => "province",
            Self::Region => "region",
            Self::Central => "central",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_epoch_differs_by_origin_and_by_tree() {
        let here = Epoch::first("vn", OriginId(7));
        assert_ne!(here, Epoch::first("vn", OriginId(8)));
        assert_ne!(here, Epoch::first("test", OriginId(7)));
        assert_eq!(here, Epoch::first("vn", OriginId(7)));
    }

    #[test]
    fn a_hash_survives_its_text_form_and_refuses_other_lengths() {
        let hash = Hash32::of(b"kho");
        assert_eq!(hash.to_hex().parse(), Ok(hash));
        assert!("abcd".parse::<Hash32>().is_err());
    }

    #[test]
    fn tiers_are_ordered_from_commune_to_central() {
        assert!(Tier::Commune < Tier::District && Tier::District < Tier::Province);
        assert!(Tier::Province < Tier::Region && Tier::Region < Tier::Central);
    }
}
