//! Any bytes, and bodies that are nearly good: a batch or a refusal, the same for every way of cutting, never a panic.

use kho_storage::checks::check_change;
use proptest::prelude::*;

use super::{EntryEncoding, EntryFormat, Sent, csv_of, gz, person, put};

fn formats() -> impl Strategy<Value = EntryFormat> {
    prop_oneof![
        Just(EntryFormat::Ndjson),
        Just(EntryFormat::Csv { table: "person".into() }),
        Just(EntryFormat::Csv { table: "event".into() })
    ]
}

/// Feeds the body in pieces of several lengths; all must come to the same, and a batch must be canonical.
fn reads_alike(sent: &Sent, piece: usize) -> Result<(), TestCaseError> {
    let whole = sent.read();
    prop_assert_eq!(&whole, &sent.read_in(piece));
    prop_assert_eq!(&whole, &sent.read_in(1));
    match whole {
        Ok(batch) => prop_assert!(!batch.changes.is_empty() && batch.changes.iter().all(|change| check_change(change).is_ok())),
        Err(refusal) => prop_assert!(!refusal.errors.is_empty()),
    }
    Ok(())
}

proptest! {
    #[test]
    fn promise_10_any_bytes_in_any_pieces_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        format in formats(),
        gzip in any::<bool>(),
        piece in 1usize..50,
    ) {
        let mut sent = Sent::new(format, bytes.clone()).limited(|l| l.line_bytes_max = 200);
        reads_alike(&sent, piece)?;
        if gzip {
            sent.encoding = EntryEncoding::Gzip;
            reads_alike(&sent, piece)?;
            sent.body = gz(&bytes);
            reads_alike(&sent, piece)?;
        }
    }

    #[test]
    fn promise_10_text_of_quotes_commas_and_braces_never_panics(
        text in "([\",\r\n{}:\\[\\]\\\\]|person_id|table|row|delete|null|\u{feff}|ễ|P1|\\{\"table\":\"person\",\"row\":\\{\"seq\":){0,40}",
        format in formats(),
        piece in 1usize..20,
    ) {
        reads_alike(&Sent::new(format.clone(), text.clone()).limited(|l| l.line_bytes_max = 200), piece)?;
        reads_alike(&Sent::new(format, csv_of(&[person(&[])]) + &text), piece)?;
    }

    #[test]
    fn promise_10_a_good_body_with_any_byte_altered_is_read_alike_in_any_pieces(
        csv in any::<bool>(),
        gzip in any::<bool>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        piece in 1usize..100,
    ) {
        let rows = [person(&[]), person(&[("person_id", "P2"), ("full_name", "Lê \"Tí\", An")])];
        let mut sent = if csv { Sent::csv("person", csv_of(&rows)) } else { Sent::ndjson(rows.iter().map(|row| put("person", row)).collect::<String>()) };
        if gzip {
            let body = gz(&sent.body);
            sent = sent.gzip(body);
        }
        let at = at.index(sent.body.len());
        sent.body[at] = byte;
        reads_alike(&sent, piece)?;
    }

    #[test]
    fn the_same_rows_in_both_formats_give_the_same_changes(
        names in proptest::collection::vec("[ -~à-ỹ]{1,30}", 1..8),
    ) {
        let rows: Vec<_> = names.iter().enumerate().map(|(number, name)| person(&[("person_id", &number.to_string()), ("full_name", name)])).collect();
        let ndjson = Sent::ndjson(rows.iter().map(|row| put("person", row)).collect::<String>()).read().map(|batch| batch.changes);
        let csv = Sent::csv("person", csv_of(&rows)).read().map(|batch| batch.changes);
        match (ndjson, csv) {
            (Ok(ndjson), Ok(csv)) => prop_assert_eq!(ndjson, csv),
            (Err(ndjson), Err(csv)) => prop_assert_eq!(ndjson.errors[0].code(), csv.errors[0].code()),
            (ndjson, csv) => prop_assert!(false, "{ndjson:?} but {csv:?}"),
        }
    }
}
