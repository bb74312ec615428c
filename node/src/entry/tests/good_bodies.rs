//! Good bodies: whatever the format, the pieces and the compression, the same rows give the same changes.

use std::{sync::Arc, time::Instant};

use kho_storage::{
    ids::{ColumnId, TableId},
    level::Level,
    row::RowCells,
    schema::{PartialDate, Value, population},
};

use super::{Cells, EntrySchema, Sent, csv_of, event, gz, person, put};

fn three() -> Vec<Cells> {
    vec![
        person(&[]),
        person(&[("person_id", "P2"), ("full_name", "Trần \"Tí\", Bình"), ("sex", "female"), ("pin", ""), ("birth_date", "1992")]),
        person(&[("person_id", "P 3"), ("full_name", "H'Mai Êban"), ("commune_code", "00004"), ("seq", "9999")]),
    ]
}

fn ndjson_of(rows: &[Cells]) -> String {
    rows.iter().map(|row| put("person", row)).collect()
}

#[test]
fn ndjson_and_csv_of_the_same_rows_give_the_same_changes() {
    let ndjson = Sent::ndjson(ndjson_of(&three())).read().expect("good rows");
    let csv = Sent::csv("person", csv_of(&three())).read().expect("good rows");
    assert_eq!(ndjson.changes, csv.changes);
    assert_eq!((csv.rows, csv.changes.len()), (3, 3));
    assert_ne!(ndjson.body_hash, csv.body_hash);
    let second = &csv.changes[1];
    assert_eq!((second.table, &second.key[..]), (TableId(2), b"P2".as_slice()));
    let cells = RowCells::check(second.cells().expect("a put")).expect("canonical");
    let texts: Vec<_> =
        cells.iter().map(|(id, value)| value.to_text(population(), population().tables[1].column(id).expect("known"))).collect();
    assert_eq!(
        texts,
        [
            "P2",
            "H1",
            "1",
            "Trần \"Tí\", Bình",
            "1992",
            "female",
            "head",
            "kinh",
            "university",
            "married",
            "permanent",
            "00001",
            "legacy-63"
        ]
    );
    assert_eq!(cells.value(ColumnId(7)), Some(Value::Date(PartialDate { year: 1992, month: 0, day: 0 })));
}

#[test]
fn columns_in_any_order_numbers_nulls_and_line_ends_change_nothing() {
    let wanted = Sent::csv("person", csv_of(&three())).read().expect("good rows").changes;
    let reversed: Vec<Cells> = three().into_iter().map(|row| row.into_iter().rev().collect()).collect();
    let numbers = ndjson_of(&three()).replace(r#""seq":"1""#, r#""seq":1"#).replace(r#""seq":"9999""#, r#""seq":9999"#);
    let nulls = ndjson_of(&three()).replace(r#""insurance_no":"""#, r#""insurance_no":null"#);
    let windows = csv_of(&three()).replace('\n', "\r\n");
    let quoted = windows.replace("legacy-63\r", "\"legacy-63\"\r");
    for body in [
        csv_of(&reversed),
        windows,
        quoted,
        csv_of(&three()).replace('\n', "\n\n"),
        csv_of(&three()).trim_end().into(),
        format!("\u{feff}{}", csv_of(&three())),
    ] {
        for piece in [1, 2, 5, body.len()] {
            assert_eq!(Sent::csv("person", body.clone()).read_in(piece).map(|batch| batch.changes), Ok(wanted.clone()), "{body}");
        }
    }
    for body in [
        numbers,
        nulls,
        ndjson_of(&three()).replace('\n', "\r\n\n"),
        ndjson_of(&three()).trim_end().into(),
        format!("\u{feff}{}", ndjson_of(&three())),
    ] {
        for piece in [1, 2, 5, body.len()] {
            assert_eq!(Sent::ndjson(body.clone()).read_in(piece).map(|batch| batch.changes), Ok(wanted.clone()), "{body}");
        }
    }
}

#[test]
fn gzip_in_one_or_more_members_reads_as_the_text_and_has_its_hash() {
    let text = ndjson_of(&three());
    let plain = Sent::ndjson(text.clone()).read().expect("good rows");
    let (head, tail) = text.as_bytes().split_at(100);
    let mut named = flate2::GzBuilder::new()
        .filename("rows.ndjson")
        .comment("three")
        .extra(vec![7; 300])
        .write(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut named, text.as_bytes()).expect("memory takes all");
    for body in [gz(text.as_bytes()), [gz(head), gz(b""), gz(tail)].concat(), named.finish().expect("memory takes all")] {
        for piece in [1, 3, body.len()] {
            assert_eq!(Sent::ndjson("").gzip(body.clone()).read_in(piece), Ok(plain.clone()));
        }
    }
    assert_ne!(plain.body_hash, Sent::ndjson(text.clone() + "\n").read().expect("good rows").body_hash, "another body is another request");
}

#[test]
fn a_column_of_a_later_level_is_refused_until_the_site_works_at_it() {
    let noted = person(&[("test_note", "thử")]);
    for sent in [Sent::csv("person", csv_of(std::slice::from_ref(&noted))), Sent::ndjson(put("person", &noted))] {
        let refusal = sent.read().expect_err("the site works at the first level");
        let error = &refusal.errors[0];
        assert_eq!((refusal.errors.len(), error.code(), error.column.as_deref()), (1, "column_above_level", Some("test_note")));
        let text = kho_messages::report(kho_messages::Lang::En, &error.fault);
        assert!(text.contains("from level 2 on") && text.contains("works at level 1"), "{text}");
        let batch = sent.at(Level::TEST).read().expect("the site was raised");
        let cells = RowCells::trusted(batch.changes[0].cells().expect("it is put"));
        assert_eq!(cells.value(ColumnId(1_024)), Some(Value::Text("thử".into())));
    }
    let plain = Sent::csv("person", csv_of(&[person(&[])]));
    assert!(plain.read().expect("good rows").left_out.is_empty(), "a column that does not exist yet is not left out");
    assert_eq!(plain.at(Level::TEST).read().expect("good rows").left_out[0].columns, ["test_note"]);
}

#[test]
fn the_same_body_for_another_table_is_another_request() {
    let mut schema = population().clone();
    let mut copy = schema.tables[1].clone();
    (copy.id, copy.name) = (TableId(9), "person_copy".into());
    schema.tables.push(copy);
    let schema = Arc::new(EntrySchema::compile(&schema, Level::FOUNDING));
    let hash = |table: &str| {
        let mut sent = Sent::csv(table, csv_of(&three()));
        sent.schema = Arc::clone(&schema);
        sent.read().expect("good rows").body_hash
    };
    assert_ne!(hash("person"), hash("person_copy"));
    assert_eq!(hash("person"), hash("person"));
}

#[test]
fn a_reader_may_wait_for_its_body_on_any_thread() {
    let sent = Sent::ndjson("").gzip(gz(ndjson_of(&three()).as_bytes()));
    let mut reader = sent.reader().expect("a known table");
    let read = std::thread::spawn(move || reader.feed(&sent.body).and_then(|()| reader.finish()));
    assert_eq!(read.join().expect("no panic").map(|batch| batch.rows), Ok(3));
}

#[test]
fn decomposed_text_and_keys_become_the_composed_ones() {
    let composed = "Nguyễn Thị Ngọc Ánh";
    let decomposed: String = unicode_normalization::UnicodeNormalization::nfd(composed).collect();
    assert_ne!(composed, decomposed);
    let read =
        |name: &str| Sent::csv("person", csv_of(&[person(&[("full_name", name), ("person_id", name)])])).read().expect("good rows").changes;
    assert_eq!(read(composed), read(&decomposed));
    let both = csv_of(&[person(&[("person_id", composed)]), person(&[("person_id", &decomposed)])]);
    assert_eq!(Sent::csv("person", both).read().expect_err("one key twice").errors[0].code(), "duplicate_key");
}

#[test]
fn deletes_need_their_key_alone_and_no_area() {
    let ndjson = Sent::ndjson("{\"table\":\"person\",\"delete\":\"P9\"}\n{\"delete\":\"E1\",\"table\":\"event\"}")
        .scoped(&[])
        .read()
        .expect("deletes");
    assert!(ndjson.changes.iter().all(|change| change.cells().is_none()));
    assert_eq!(
        ndjson.changes.iter().map(|change| (change.table, change.key.to_vec())).collect::<Vec<_>>(),
        [(TableId(2), b"P9".to_vec()), (TableId(3), b"E1".to_vec())]
    );
    let mixed = csv_of(&[
        person(&[("_op", "put")]),
        person(&[("_op", "delete"), ("person_id", "P2"), ("sex", "?")]),
        person(&[("_op", ""), ("person_id", "P3")]),
    ]);
    let mixed = Sent::csv("person", mixed).read().expect("puts and a delete");
    assert_eq!(mixed.changes.iter().map(|change| change.cells().is_some()).collect::<Vec<_>>(), [true, false, true]);
    let keys_alone = Sent::csv("person", "person_id,_op\nP1,delete\nP2,delete\n").read().expect("deletes");
    assert_eq!(keys_alone.rows, 2);
}

#[test]
fn a_birth_has_its_columns_and_no_flags_are_an_absent_column() {
    let birth = event(&[("type", "birth"), ("sex", "female"), ("birth_order", "2"), ("mother_birth_date", "1990-05")]);
    assert!(Sent::ndjson(put("event", &birth)).read().is_ok());
    let marriage = |flags: &str| {
        Sent::ndjson(put("event", &event(&[("type", "marriage"), ("marriage_flags", flags)]))).read().expect("a marriage").changes
    };
    assert_eq!(marriage(" | "), marriage(""));
    assert_ne!(marriage("early|premarital_exam"), marriage("early"));
}

#[test]
fn a_scope_of_any_level_lets_its_own_communes_in() {
    for code in ["*", "01", "001", "00001"] {
        assert!(Sent::ndjson(put("person", &person(&[]))).scoped(&["02", code]).read().is_ok(), "{code}");
    }
    let other = person(&[("commune_code", "00004"), ("catalogue_version", "2025-34")]);
    let mut sent = Sent::ndjson(put("person", &other));
    sent.scope.areas[0].catalogue = "2025-34".into();
    sent.scope.areas[0].code = "01".into();
    assert!(sent.read().is_ok());
}

/// Run by hand: `cargo test --release -p kho-node --lib entry -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a promise"]
fn rows_read_in_a_second() {
    const ROWS: usize = 20_000;
    let rows: Vec<Cells> = (0..ROWS)
        .map(|number| person(&[("person_id", &format!("001-{number:08}")), ("household_id", &format!("H{:07}", number / 4))]))
        .collect();
    let (csv, ndjson) = (csv_of(&rows), ndjson_of(&rows));
    let sent = [
        ("csv", Sent::csv("person", csv.clone())),
        ("csv in gzip", Sent::csv("person", "").gzip(gz(csv.as_bytes()))),
        ("ndjson", Sent::ndjson(ndjson)),
    ];
    for (name, sent) in sent {
        let begun = Instant::now();
        for _ in 0..10 {
            assert_eq!(sent.read_in(64 << 10).expect("good rows").rows as usize, ROWS);
        }
        let seconds = begun.elapsed().as_secs_f64();
        println!("{name}: {:.0} rows/s, {:.0} MB/s as sent", 10.0 * ROWS as f64 / seconds, 10.0 * sent.body.len() as f64 / seconds / 1e6);
    }
}
