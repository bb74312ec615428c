//! Bodies as clients send them. The persons are invented.

use std::io::Write as _;

use super::{Seed, joined};

const HEADER: &str = "person_id,household_id,seq,full_name,birth_date,sex,marital,residence_status,commune_code,catalogue_version\n";

/// Persons `from .. to` as CSV.
pub fn persons_csv(from: u32, to: u32) -> String {
    let rows = (from..to).map(|n| {
        let (sex, month, day) = (if n % 2 == 0 { "female" } else { "male" }, 1 + n % 12, 1 + n % 28);
        format!(
            "P{n},H{},{},\"Lê Thị \"\"Tí\"\", {n}\",{}-{month:02}-{day:02},{sex},single,permanent,00001,legacy-63\n",
            n / 4,
            n % 4 + 1,
            1940 + n % 80
        )
    });
    std::iter::once(HEADER.to_string()).chain(rows).collect()
}

/// The same, an event and a row taken away, as NDJSON.
pub fn persons_ndjson(from: u32, to: u32) -> String {
    let mut body = String::new();
    for n in from..to {
        let row = serde_json::json!({
            "person_id": format!("P{n}"), "household_id": format!("H{}", n / 4), "seq": n % 4 + 1, "full_name": "Nguyễn Văn Ân", "birth_date": "1990-05",
            "sex": "male", "marital": "married", "residence_status": "permanent", "commune_code": "00001", "catalogue_version": "legacy-63",
        });
        body += &format!("{}\n", serde_json::json!({"table": "person", "row": row}));
    }
    let event = serde_json::json!({"event_id": format!("E{from}"), "type": "birth", "event_date": "2019-04-01", "commune_code": "00001", "catalogue_version": "legacy-63"});
    body + &format!("{}\n", serde_json::json!({"table": "event", "row": event}))
}

/// A row taken away.
pub fn without(person: u32) -> String {
    format!("{{\"table\":\"person\",\"delete\":\"P{person}\"}}\n")
}

/// Some columns of a person who stands: one is set, one is cleared.
pub fn moved(person: u32) -> String {
    let row = serde_json::json!({ "person_id": format!("P{person}"), "marital": null, "residence_status": "absent" });
    format!("{}\n", serde_json::json!({ "table": "person", "row": row }))
}

pub(super) fn seeds(seeds: &mut Vec<Seed>) {
    let ndjson = persons_ndjson(0, 3) + &without(1);
    for piece in [0, 1, 16] {
        seeds.push(("entry_ndjson", joined(&[&[piece], ndjson.as_bytes()])));
        seeds.push(("entry_csv", joined(&[&[piece * 3], persons_csv(0, 4).as_bytes()])));
    }
    seeds.push(("entry_ndjson", joined(&[&[9], (persons_ndjson(0, 2) + &moved(7)).as_bytes()])));
    seeds.push(("entry_ndjson", joined(&[b"\x05\xef\xbb\xbf", ndjson.as_bytes()])));
    seeds.push(("entry_ndjson", b"\x02{\"table\":\"person\",\"row\":{\"seq\":\"x\"}}\n{\n[]\n".to_vec()));
    seeds.push(("entry_csv", b"\x04event_id,type,event_date,commune_code,catalogue_version\r\nE1,death,2019,00001,legacy-63\r\n".to_vec()));
    seeds.push(("entry_csv", b"\x05household_id,_op\nH1,delete\nH2,put\n".to_vec()));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let gzip = gzip.write_all(ndjson.as_bytes()).and_then(|()| gzip.finish()).expect("memory takes it");
    seeds.push(("entry_gzip", joined(&[&[9], &gzip])));
    seeds.push(("entry_gzip", joined(&[&[1], &gzip, &gzip])));
    seeds.push(("entry_gzip", joined(&[&[0], ndjson.as_bytes()])));
}
