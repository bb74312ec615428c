//! Keys and values of the state, as they lie on disk and as `kho inspect` shows them.

use kho_storage::{
    command::{Command, DivergedPlace, EvidenceReview, Outcome, ParentCursor},
    fuzzing::{row_value, stream_record},
    ids::SiteTime,
    inspect::format_entry,
    keys::{self, Meta, Space},
    level::Level,
    schema::population,
    stream::SignedHead,
    warehouse::{AppliedMark, OriginState, RequestRecord, SetBack, StoredEvidence, Transfer},
};

use super::choice;
use crate::survives::decoded;

/// Space, length of the key, key, value: shown in one line, and read as its kind when the key names one.
pub fn stored(bytes: &[u8]) {
    let Some((space, rest)) = choice(bytes) else { return };
    let Some((key_bytes, rest)) = choice(rest) else { return };
    let (key, value) = rest.split_at(usize::from(key_bytes).min(rest.len()));
    let space = Space::ALL[usize::from(space) % Space::ALL.len()];
    let line = format_entry(population(), space, key, value);
    assert!(!line.is_empty() && !line.contains('\n'), "one line: {line}");
    let readable = !is_damaged(space, &line);
    match space {
        Space::Rows => {
            if let Some((table, origin, generation, row_key)) = keys::decode_row(key) {
                assert_eq!(keys::row(table, origin, generation, row_key), key);
            }
            match row_value(value) {
                Some((_, written)) => assert_eq!(written, value, "one row has one form"),
                None => assert!(!readable, "the inspector and the warehouse read alike"),
            }
        }
        Space::Streams => {
            if let Some((origin, epoch, seq)) = keys::decode_stream(key) {
                assert_eq!(keys::stream(origin, epoch, seq), key);
            }
            match stream_record(value) {
                Some((_, written)) => assert_eq!(written, value, "one record has one form"),
                None => assert!(!readable, "the inspector and the warehouse read alike"),
            }
        }
        Space::Cubes => {
            if let Some((cube, origin, generation, area, dimensions)) = keys::decode_cube(key) {
                let mut again = keys::cube_prefix(cube, origin, generation).to_vec();
                again.extend(area.to_be_bytes());
                dimensions.iter().for_each(|dimension| again.extend(dimension.to_be_bytes()));
                assert_eq!(again, key);
            }
        }
        Space::Meta => meta(key, value),
    }
    commands(value);
}

/// Whether the inspector could not read an entry: then it names the space and shows the bytes.
pub(super) fn is_damaged(space: Space, line: &str) -> bool {
    line.starts_with(&format!("{} 0x", space.name())) && line.contains(": damaged (")
}

fn meta(key: &[u8], value: &[u8]) {
    let Some(meta) = Meta::decode(key) else { return };
    assert_eq!(meta.encode(), key, "one key has one form");
    match meta {
        Meta::Applied => drop(decoded::<AppliedMark>(value)),
        Meta::Origin(_) => drop(decoded::<OriginState>(value)),
        Meta::Head(..) => drop(decoded::<SignedHead>(value)),
        Meta::Request(..) => drop(decoded::<RequestRecord>(value)),
        Meta::Parent(..) => drop(decoded::<ParentCursor>(value)),
        Meta::Evidence(..) => drop(decoded::<StoredEvidence>(value)),
        Meta::Transfer(_) => drop(decoded::<Transfer>(value)),
        Meta::SetBack(_) => drop(decoded::<SetBack>(value)),
        Meta::EvidenceReview(_) => drop(decoded::<EvidenceReview>(value)),
        Meta::TurnedBack(..) => drop(decoded::<SiteTime>(value)),
        Meta::Diverged(..) => drop(decoded::<(SiteTime, DivergedPlace)>(value)),
        Meta::Level => drop(decoded::<Level>(value)),
        Meta::TestNote => drop(decoded::<String>(value)),
        Meta::Identity | Meta::Register | Meta::RootChange(_) | Meta::TrustedRoots | Meta::RequestAge(..) | Meta::Cubes => {}
    }
}

fn commands(value: &[u8]) {
    drop(decoded::<Command>(value));
    drop(decoded::<Outcome>(value));
}
