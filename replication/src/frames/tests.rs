use kho_storage::{
    codec::Blob,
    ids::{Hash32, SiteTime},
    signature::{Signature, SignatureAlgorithm},
    stream::{Head, SignedHead},
};
use proptest::prelude::*;

use super::*;

fn segment(batches: Vec<Blob>) -> Segment {
    let head = Head {
        origin: OriginId(7),
        epoch: Epoch { number: 1, id: 9 },
        seq: StreamSeq(batches.len() as u64),
        chain: Hash32::of(b"chain"),
        digest: Hash32::of(b"digest"),
        rows: 3,
        site_time: SiteTime(5),
    };
    let signature = Signature { algorithm: SignatureAlgorithm::Ed25519, bytes: vec![1; 64] };
    Segment { first: StreamSeq(1), batches, head: SignedHead { head, site: SiteId(7), node: NodeId(1), signature } }
}

fn frame(segment: Compressed<Segment>) -> ChildFrame {
    ChildFrame::Segment { id: FrameId(1), origin: OriginId(7), segment }
}

#[test]
fn a_segment_survives_the_wire_and_shrinks_on_it() {
    let sent = segment((0u8..50).map(|n| Blob(vec![n; 1000])).collect());
    let body = frame(Compressed::pack(&sent, SEGMENT_PLAIN_BYTES_MAX).expect("fits")).encode().expect("fits");
    assert!(body.len() < sent.bytes() / 4, "{} bytes", body.len());
    let ChildFrame::Segment { segment: received, .. } = ChildFrame::decode(&body).expect("own form") else { panic!("a segment was sent") };
    assert_eq!(received.unpack(SEGMENT_PLAIN_BYTES_MAX), Ok(sent));
}

#[test]
fn promise_4_a_bomb_is_refused_before_it_unfolds() {
    let zeroes = zstd::stream::encode_all(&vec![0u8; 256 << 20][..], 3).expect("in memory");
    assert!(zeroes.len() < 64 << 10, "a bomb is small");
    let declared_true = Compressed::<Segment>::received(256 << 20, Blob(zeroes.clone()));
    assert!(matches!(declared_true.unpack(SEGMENT_PLAIN_BYTES_MAX), Err(FrameCodecError::PlainTooLong { .. })));
    let unfolded = compressed::unfold(&zeroes, 1001).expect("good zstd");
    assert!(unfolded.len() == 1001 && unfolded.capacity() <= 64 << 10, "{} bytes were set aside", unfolded.capacity());
    let declared_small = Compressed::<Segment>::received(1000, Blob(zeroes));
    assert_eq!(declared_small.unpack(SEGMENT_PLAIN_BYTES_MAX), Err(FrameCodecError::PlainLength { declared: 1000, found_longer: true }));
}

#[test]
fn promise_4_a_frame_of_endless_lists_is_refused_before_it_fills_the_memory() {
    // A batch of no bytes takes one byte on the wire, and less once it is packed.
    let endless = Compressed::pack(&segment(vec![Blob::default(); 4 << 20]), SEGMENT_PLAIN_BYTES_MAX).expect("it is short enough");
    assert!(endless.zstd.len() < 4 << 10, "{endless:?}");
    assert!(matches!(endless.unpack(5 << 20), Err(FrameCodecError::Codec(_))));

    let held = StreamHeld { origin: OriginId(1), epoch: Epoch { number: 1, id: 1 }, next: StreamSeq(1), oldest_kept: StreamSeq(1) };
    let streams = |number| codec::encode(&ChildFrame::Streams(vec![held; number])).expect("encodes");
    assert!(ChildFrame::decode(&streams(STREAMS_MAX)).is_ok());
    assert!(matches!(ChildFrame::decode(&streams(STREAMS_MAX + 1)), Err(FrameCodecError::TooMany { .. })));
    assert!(matches!(ChildFrame::decode(&streams(1 << 20)), Err(FrameCodecError::Codec(_))), "not even read to its end");
    let cursor = ParentCursor { origin: OriginId(1), epoch: held.epoch, next: StreamSeq(1) };
    let cursors = ParentFrame::Cursors { cursors: vec![cursor; 1 << 20], transfers: vec![], heads: vec![] };
    assert!(matches!(ParentFrame::decode(&codec::encode(&cursors).expect("encodes")), Err(FrameCodecError::Codec(_))));
}

#[test]
fn a_wide_window_is_refused() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).expect("in memory");
    encoder.window_log(27).expect("allowed");
    std::io::Write::write_all(&mut encoder, &[7; 1000]).expect("in memory");
    std::io::Write::flush(&mut encoder).expect("in memory");
    let wide = Compressed::<Segment>::received(1000, Blob(encoder.finish().expect("in memory")));
    assert!(matches!(wide.unpack(SEGMENT_PLAIN_BYTES_MAX), Err(FrameCodecError::Compression(_))));
}

#[test]
fn a_frame_beyond_the_maximum_is_neither_written_nor_read() {
    let zstd = Blob(vec![0; CHILD_FRAME_BYTES_MAX]);
    assert!(matches!(frame(Compressed::received(1, zstd)).encode(), Err(FrameCodecError::TooLong { .. })));
    assert!(matches!(ChildFrame::decode(&vec![0; CHILD_FRAME_BYTES_MAX + 1]), Err(FrameCodecError::TooLong { .. })));
}

proptest! {
    #[test]
    fn any_bytes_are_a_frame_or_refused_without_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 1..300), variant in 0u8..10) {
        let _ = ParentFrame::decode(&bytes);
        // A good format byte and variant, so that decoding gets further than the first two bytes.
        bytes.splice(0..1, [codec::FORMAT, variant]);
        let _ = ParentFrame::decode(&bytes);
        if let Ok(ChildFrame::Segment { segment, .. }) = ChildFrame::decode(&bytes) {
            let _ = segment.unpack(SEGMENT_PLAIN_BYTES_MAX);
        }
    }

    #[test]
    fn a_frame_with_a_flipped_bit_is_read_or_refused_without_a_panic(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut body = frame(Compressed::pack(&segment(vec![Blob(vec![5; 200])]), SEGMENT_PLAIN_BYTES_MAX).unwrap()).encode().unwrap();
        let place = at.index(body.len());
        body[place] ^= 1 << bit;
        if let Ok(ChildFrame::Segment { segment, .. }) = ChildFrame::decode(&body) {
            let _ = segment.unpack(SEGMENT_PLAIN_BYTES_MAX);
        }
    }
}
