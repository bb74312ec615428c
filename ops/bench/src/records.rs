//! Records of 256 bytes by number, the same for Kho and for its peer, and the schema under which Kho takes them: one table, no
//! cube.
//!
//! A value is made of letters and digits only, so that it is the same bytes in CSV and in a peer's request. It carries 192 random
//! bytes: nobody gains much by compressing it.

use std::ops::Range;

use data_encoding::BASE64URL_NOPAD;
use kho_node::entry::UnnamedColumns;
use kho_ops::client::BatchUpload;

/// Bytes of a record's value.
pub const VALUE_BYTES: usize = 256;
/// Three bytes give four letters.
const RANDOM_BYTES: usize = VALUE_BYTES / 4 * 3;
const TABLE: &str = "record";
const HEADER: &str = "record_id,value\n";

/// The schema file of a site that holds such records.
pub const RECORDS_TOML: &str = r#"version = 1

[[table]]
id = 1
name = "record"
label = "Bản ghi"
key = "record_id"
column = [
    { id = 1, name = "record_id", label = "Mã bản ghi", type = "text", chars_max = 32, required = true },
    { id = 2, name = "value", label = "Nội dung", type = "text", chars_max = 256, required = true },
]
"#;

/// A record's key. Keys sort like numbers.
pub fn key(number: u64) -> String {
    format!("record-{number:012}")
}

/// A record's value, [`VALUE_BYTES`] long.
pub fn value(number: u64) -> String {
    let mut random = [0; RANDOM_BYTES];
    blake3::Hasher::new().update(b"kho bench record").update(&number.to_le_bytes()).finalize_xof().fill(&mut random);
    BASE64URL_NOPAD.encode(&random)
}

/// These records as a client of Kho sends them.
pub fn upload(numbers: Range<u64>) -> BatchUpload {
    let request_key = format!("bench-{}-{}", numbers.start, numbers.end);
    let mut body = String::from(HEADER);
    for number in numbers {
        body.push_str(&key(number));
        body.push(',');
        body.push_str(&value(number));
        body.push('\n');
    }
    BatchUpload { request_key, table: Some(TABLE.into()), content_type: "text/csv", unnamed: UnnamedColumns::Stay, body: body.into() }
}

#[cfg(test)]
mod tests {
    use kho_storage::schema::Schema;

    use super::*;

    #[test]
    fn a_record_has_256_bytes_that_follow_from_its_number_and_need_no_quotes() {
        let (first, second) = (value(1), value(2));
        assert_eq!((first.len(), second.len()), (VALUE_BYTES, VALUE_BYTES));
        assert_ne!(first, second);
        assert_eq!(first, value(1));
        assert!(first.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
        assert!(key(9) < key(10));
    }

    #[test]
    fn the_schema_has_the_columns_of_the_records_and_counts_nothing() {
        let schema = Schema::from_toml(RECORDS_TOML).expect("whole");
        assert!(schema.cubes.is_empty());
        let table = schema.table_named(TABLE).expect("the table");
        let body = upload(3..5).body;
        let text = std::str::from_utf8(&body).expect("text");
        let columns: Vec<&str> = text.lines().next().expect("a header").split(',').collect();
        assert_eq!(columns, table.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>());
        assert_eq!(
            text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>(),
            [3, 4].map(|number| format!("{},{}", key(number), value(number)))
        );
    }
}
