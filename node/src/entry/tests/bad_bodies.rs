//! Bodies that can't be read or are too long, and the promise over all bad bodies.

use std::collections::BTreeSet;

use kho_messages::Lang;

use super::{Bad, Finding, Sent, bad_rows, csv_of, gz, person, put};
use crate::entry::{
    ENTRY_CODES, EntryEncoding, EntryError, EntryFormat, EntryLimits, EntryRefusal,
    EntryStatus::{self, Malformed, TooLarge, Unsupported, WrongRows},
};

/// A finding about the body as a whole.
fn whole(code: &'static str) -> [Finding; 1] {
    [(None, None, None, code)]
}

fn persons(count: usize) -> String {
    (1..=count).map(|number| put("person", &person(&[("person_id", &format!("P{number}"))]))).collect()
}

/// Bytes that are no text, or no rows.
fn texts() -> Vec<Bad> {
    let second = |column, code| [(Some(2), Some(2), column, code)];
    let broken = |body: &str, at: &str, bytes: &[u8]| {
        let place = body.rfind(at).expect("stands in the body");
        [&body.as_bytes()[..place], bytes, &body.as_bytes()[place + at.len()..]].concat()
    };
    let csv = csv_of(&[person(&[]), person(&[("person_id", "P2")])]);
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(csv.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    vec![
        Sent::ndjson(broken(&persons(2), "ễ", b"\xe1\xbb")).refused("a broken letter in NDJSON", Malformed, &second(None, "invalid_utf8")),
        Sent::csv("person", broken(&csv, "ễ", b"\xc5\xa0\xff")).refused(
            "a broken letter in CSV",
            Malformed,
            &[(Some(2), Some(3), Some("full_name"), "invalid_utf8")],
        ),
        Sent::csv("person", broken(&csv, "seq", b"s\xffq")).refused(
            "a broken letter in the header",
            Malformed,
            &[(None, Some(1), None, "invalid_utf8")],
        ),
        Sent::csv("person", utf16).refused("UTF-16", Malformed, &[(None, Some(1), None, "nul_byte")]),
        Sent::ndjson(broken(&persons(2), "Văn", b"V\0n")).refused("a NUL in NDJSON", Malformed, &second(None, "nul_byte")),
        Sent::csv("person", broken(&csv, "kinh", b"k\0")).refused(
            "a NUL in CSV",
            Malformed,
            &[(Some(2), Some(3), Some("ethnicity"), "nul_byte")],
        ),
        Sent::ndjson("").refused("nothing", Malformed, &whole("empty_body")),
        Sent::ndjson("\n  \n\r\n").refused("blank lines", Malformed, &whole("empty_body")),
        Sent::ndjson("\u{feff}").refused("a byte order mark alone", Malformed, &whole("empty_body")),
        Sent::ndjson("\u{feff}\u{feff}{}").refused("two byte order marks", Malformed, &[(Some(1), Some(1), None, "bad_json")]),
        Sent::csv("person", "").refused("nothing as CSV", Malformed, &whole("empty_body")),
        Sent::csv("person", csv.lines().next().unwrap_or_default()).refused("a header alone", Malformed, &whole("empty_body")),
    ]
}

/// Compressed bodies that are damaged.
fn compressed() -> Vec<Bad> {
    let text = persons(300);
    let good = gz(text.as_bytes());
    let altered = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x55;
        bytes
    };
    let sent = |what, body, code| Sent::ndjson("").gzip(body).refused(what, Malformed, &whole(code));
    vec![
        sent("plain text declared as gzip", text.clone().into_bytes(), "not_gzip"),
        sent("nothing declared as gzip", vec![], "not_gzip"),
        sent("gzip cut in its head", good[..7].to_vec(), "gzip_truncated"),
        sent("gzip cut in its data", good[..good.len() / 2].to_vec(), "gzip_truncated"),
        sent("gzip cut in its trailer", good[..good.len() - 1].to_vec(), "gzip_truncated"),
        sent("gzip with a flipped checksum", altered(good.len() - 6), "gzip_corrupt"),
        sent("gzip with a flipped length", altered(good.len() - 1), "gzip_corrupt"),
        sent("gzip of a reserved kind", altered(3), "gzip_corrupt"),
        sent("gzip with an impossible block", [&good[..10], &[0xff; 9]].concat(), "gzip_corrupt"),
        sent("words behind gzip", [&good[..], b"and so on"].concat(), "gzip_trailing"),
        sent("zeros behind gzip", [&good[..], &[0; 512]].concat(), "gzip_trailing"),
        sent("gzip of nothing", gz(b""), "empty_body"),
    ]
}

/// Bodies and lines that pass a limit.
fn lengths() -> Vec<Bad> {
    let text = persons(3);
    let line = text.len() / 3;
    let two_rows = Sent::ndjson(persons(2)).read().expect("good rows").changes.iter().map(kho_storage::stream::Change::bytes).sum();
    let too_large = |sent: Sent, what, findings: &[Finding]| sent.refused(what, TooLarge, findings);
    let csv = csv_of(&[person(&[]), person(&[("person_id", "P2")])]);
    vec![
        too_large(
            Sent::ndjson(text.clone()).limited(|l| l.body_bytes_max = 3 * line as u64 - 1),
            "a body one byte too long",
            &whole("body_too_long"),
        ),
        too_large(Sent::ndjson("").gzip(gz(&vec![b'\n'; 40 << 20])), "a gzip bomb of line feeds", &whole("body_too_long")),
        too_large(
            Sent::ndjson("").gzip(gz(&vec![b'a'; 40 << 20])),
            "a gzip bomb of one line",
            &[(Some(1), Some(1), None, "line_too_long")],
        ),
        too_large(
            Sent::ndjson("").gzip(gz(b"").repeat(60)).limited(|l| l.body_bytes_max = 1000),
            "gzip members without end that hold nothing",
            &whole("body_too_long"),
        ),
        too_large(
            Sent::ndjson(text.clone()).limited(|l| l.line_bytes_max = line - 2),
            "a line one byte too long",
            &[(Some(1), Some(1), None, "line_too_long")],
        ),
        too_large(
            Sent::csv("person", csv.clone() + &"x".repeat(65_537)),
            "a record too long",
            &[(Some(3), Some(4), Some("person_id"), "line_too_long")],
        ),
        too_large(
            Sent::csv("person", csv + "P3,\"" + &"x\n".repeat(40_000)),
            "a quote that swallows the rest",
            &[(Some(3), Some(4), Some("household_id"), "line_too_long")],
        ),
        too_large(Sent::csv("person", "x".repeat(70_000)), "a header too long", &[(None, Some(1), None, "line_too_long")]),
        too_large(Sent::ndjson(text.clone()).limited(|l| l.rows_max = 2), "a row too many", &[(Some(3), Some(3), None, "too_many_rows")]),
        too_large(
            Sent::ndjson(text).limited(|l| l.batch_bytes_max = two_rows),
            "changes too long for a batch",
            &[(Some(3), Some(3), None, "batch_too_long")],
        ),
    ]
}

fn all() -> Vec<Bad> {
    [
        texts(),
        compressed(),
        lengths(),
        bad_rows::values(),
        bad_rows::lines(),
        bad_rows::odd_schemas(),
        bad_rows::records(),
        bad_rows::headers(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn check(what: &str, piece: usize, outcome: Result<super::CheckedBatch, EntryRefusal>, status: EntryStatus, wanted: &[Finding]) {
    let refusal = outcome.expect_err(what);
    let found: Vec<_> = refusal.errors.iter().map(|e| (e.row, e.line, e.column.as_deref(), e.code())).collect();
    assert_eq!((found.as_slice(), refusal.status), (wanted, status), "{what}, in pieces of {piece}: {refusal:#?}");
    for error in &refusal.errors {
        for lang in Lang::ALL {
            let (message, hint) = (kho_messages::report(lang, &error.fault), kho_messages::hint(lang, &error.fault));
            assert!(!message.is_empty() && !hint.is_empty(), "{what}: {error:?}");
            assert!(!message.contains(|c: char| c.is_control()), "{what}: {error:?}");
        }
    }
}

#[test]
fn promise_10_every_kind_of_bad_body_is_refused_with_its_row_and_column() {
    let all = all();
    assert!(all.len() >= 45, "{} kinds", all.len());
    for Bad { what, sent, status, findings } in &all {
        for piece in [sent.body.len(), 1, 7, 4096] {
            check(what, piece, sent.read_in(piece), *status, findings);
        }
    }
}

#[test]
fn every_word_of_the_api_is_shown_by_a_bad_body() {
    let shown: BTreeSet<_> = all().iter().flat_map(|bad| bad.findings.iter().map(|finding| finding.3)).collect();
    let by_request = BTreeSet::from(["unsupported_format", "unsupported_encoding"]);
    // Whether a row exists is seen when the batch is applied.
    let by_apply = BTreeSet::from(["row_missing", "row_incomplete"]);
    let words: BTreeSet<_> = ENTRY_CODES.iter().map(|word| word.code).collect();
    assert_eq!(&(&shown | &by_request) | &by_apply, words);
    assert_eq!(words.len(), ENTRY_CODES.len(), "no word stands twice");
}

#[test]
fn promise_10_another_format_or_encoding_is_refused_before_the_body_is_read() {
    let code = |refusal: EntryRefusal| (refusal.status, refusal.errors[0].code());
    assert_eq!(EntryFormat::of_media_type("text/csv; charset=utf-8", Some("person")), Ok(EntryFormat::Csv { table: "person".into() }));
    assert_eq!(EntryFormat::of_media_type("Application/X-NDJSON", None), Ok(EntryFormat::Ndjson));
    assert_eq!(EntryFormat::of_media_type("application/xml", None).map_err(code), Err((Unsupported, "unsupported_format")));
    assert_eq!(EntryFormat::of_media_type("text/csv", None).map_err(code), Err((WrongRows, "unknown_table")));
    assert_eq!(EntryEncoding::of_content_encoding("GZIP"), Ok(EntryEncoding::Gzip));
    assert_eq!(EntryEncoding::of_content_encoding("br").map_err(code), Err((Unsupported, "unsupported_encoding")));
    assert_eq!([WrongRows, Malformed, TooLarge, Unsupported].map(EntryStatus::http), [422, 400, 413, 415]);
}

#[test]
fn promise_10_a_line_of_a_gigabyte_is_refused_at_the_limit_and_never_held() {
    let chunk = vec![b'a'; 1 << 20];
    for sent in [Sent::ndjson(""), Sent::csv("person", "")] {
        let mut reader = sent.limited(|l| l.body_bytes_max = 2 << 30).reader().expect("a known table");
        for _ in 0..1024 {
            let refusal = reader.feed(&chunk).expect_err("the first chunk passes the limit already");
            assert_eq!((refusal.status, refusal.errors.len(), refusal.errors[0].code()), (TooLarge, 1, "line_too_long"));
        }
        assert!(reader.finish().is_err());
    }
}

#[test]
fn promise_10_findings_beyond_the_limit_are_counted_and_what_ends_the_reading_is_still_listed() {
    let bad = |number: usize| put("person", &person(&[("person_id", &format!("P{number}")), ("sex", "?")]));
    let body: String = (1..=250).map(bad).collect();
    let refusal = Sent::ndjson(body.clone()).read().expect_err("bad rows");
    assert_eq!((refusal.errors.len(), refusal.more), (EntryLimits::default().errors_max, 150));
    assert_eq!(refusal.errors.last().and_then(|error| error.row), Some(100));
    let refusal = Sent::ndjson(body).limited(|l| l.rows_max = 200).read().expect_err("bad rows");
    assert_eq!((refusal.errors.len(), refusal.more, refusal.status), (101, 100, TooLarge));
    assert_eq!(refusal.errors.last().map(EntryError::code), Some("too_many_rows"));
}

#[test]
fn a_finding_is_told_in_both_languages() {
    let refusal = Sent::csv("person", csv_of(&[person(&[("sex", "x")])])).read().expect_err("a bad code");
    let error = &refusal.errors[0];
    assert_eq!((error.row, error.line, error.column.as_deref(), error.code()), (Some(1), Some(2), Some("sex"), "unknown_code"));
    let told = Lang::ALL.map(|lang| (kho_messages::report(lang, &error.fault), kho_messages::hint(lang, &error.fault)));
    let text = |message: &str, hint: &str| (message.to_owned(), hint.to_owned());
    assert_eq!(
        told,
        [
            text("`x` is not a code of `sex`", "use one of: male, female"),
            text("`x` không phải là mã của danh mục `sex`", "hãy dùng một trong các mã: male, female"),
        ]
    );
}

#[test]
fn broken_text_and_duplicate_keys_name_their_places() {
    let mut body = Sent::ndjson(persons(2)).body;
    let place = persons(2).rfind('ễ').expect("stands in the body");
    body[place + 1] = b'x';
    let refusal = Sent::ndjson([b"\xef\xbb\xbf", &body[..]].concat()).read().expect_err("broken text");
    assert_eq!(kho_messages::report(Lang::En, &refusal.errors[0].fault), format!("byte {} of the body is no UTF-8", place + 3));
    let refusal = Sent::ndjson(persons(2) + &persons(1)).read().expect_err("a key twice");
    assert_eq!(kho_messages::report(Lang::En, &refusal.errors[0].fault), "rows 1 and 3 both change `P1` of `person`");
}
