//! The two requests of etcd's interface that are needed, as bytes of Protocol Buffers.
//!
//! From `etcdserverpb/rpc.proto`:
//! ```text
//!   PutRequest { bytes key = 1; bytes value = 2; … }
//!   TxnRequest { …; repeated RequestOp success = 2; … }       with no `compare`, `success` is what is done
//!   RequestOp  { oneof request { …; PutRequest request_put = 2; … } }
//! ```
//! Answers are not read: a status of gRPC that is good says all.

/// Tag of a field that is as long as the number behind its tag says.
const LENGTH_DELIMITED: u64 = 2;

/// A put of one value.
pub fn put(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(key.len() + value.len() + 8);
    add_field(&mut message, 1, key);
    add_field(&mut message, 2, value);
    message
}

/// These puts, all or none.
pub fn transaction(puts: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut message = Vec::new();
    for put in puts {
        let mut operation = Vec::with_capacity(put.len() + 4);
        add_field(&mut operation, 2, &put);
        add_field(&mut message, 2, &operation);
    }
    message
}

fn add_field(message: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    add_varint(message, number << 3 | LENGTH_DELIMITED);
    add_varint(message, bytes.len() as u64);
    message.extend_from_slice(bytes);
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn add_varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_bytes_that_etcd_reads() {
        assert_eq!(put(b"k", b"vw"), b"\x0a\x01k\x12\x02vw");
        assert_eq!(transaction([put(b"k", b"v"), put(b"l", b"")]), b"\x12\x08\x12\x06\x0a\x01k\x12\x01v\x12\x07\x12\x05\x0a\x01l\x12\x00");
        let long = put(b"k", &[7; 300]);
        assert_eq!((&long[..6], long.len()), (&b"\x0a\x01k\x12\xac\x02"[..], 306));
    }
}
