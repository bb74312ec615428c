//! What a child and a parent send to each other, and the transport's own frames.

use kho_replication::{
    frames::{
        ADDRESSES_MAX, ChildFrame, Compressed, HEADS_MAX, PIECE_PLAIN_BYTES_MAX, ParentFrame, REGISTER_OFFERS_MAX, RegisterReply,
        RegisterRequest, SEGMENT_PLAIN_BYTES_MAX, STREAMS_MAX,
    },
    fuzzing::assembled,
    verified::{ReceivedPiece, ReceivedSegment},
};
use kho_storage::{codec::Blob, level::Level, stream::Segment};

use super::choice;
use crate::{
    survives::decoded,
    world::{PROVINCE, WORLD},
};

/// A frame from a child.
pub fn child_frame(bytes: &[u8]) {
    let Ok(frame) = ChildFrame::decode(bytes) else { return };
    assert_eq!(decoded::<ChildFrame>(bytes).as_ref(), Some(&frame));
    assert_eq!(ChildFrame::decode(&frame.encode().expect("it was short enough")).as_ref(), Ok(&frame));
    match frame {
        ChildFrame::Hello(hello) => assert!(hello.streams.len() <= STREAMS_MAX),
        ChildFrame::Segment { segment, .. } => unpacked_segment(&segment),
        ChildFrame::Piece { piece, .. } => {
            if let Ok(piece) = piece.unpack(PIECE_PLAIN_BYTES_MAX) {
                let _ = ReceivedPiece::new(piece).verify(&WORLD.register, PROVINCE, Level::FOUNDING);
            }
        }
        _ => {}
    }
}

/// A frame from a parent.
pub fn parent_frame(bytes: &[u8]) {
    let Ok(frame) = ParentFrame::decode(bytes) else { return };
    assert_eq!(decoded::<ParentFrame>(bytes).as_ref(), Some(&frame));
    match frame {
        ParentFrame::Redirect { addresses } => assert!(addresses.len() <= ADDRESSES_MAX),
        ParentFrame::Welcome(welcome) => {
            assert!(welcome.cursors.len().max(welcome.transfers.len()) <= STREAMS_MAX && welcome.heads.len() <= HEADS_MAX);
            assert!(welcome.registers.len() <= REGISTER_OFFERS_MAX);
        }
        ParentFrame::Registers(offers) => assert!(offers.len() <= REGISTER_OFFERS_MAX),
        _ => {}
    }
}

/// What a child and a parent say on a stream of its own for a register: a reply, or a request.
pub fn register_reply(bytes: &[u8]) {
    let Some((what, body)) = choice(bytes) else { return };
    if what % 2 == 1 {
        if let Ok(request) = RegisterRequest::decode(body) {
            assert_eq!(RegisterRequest::decode(&request.encode().expect("it was short enough")), Ok(request));
        }
        return;
    }
    let Ok(reply) = RegisterReply::decode(body) else { return };
    assert_eq!(RegisterReply::decode(&reply.encode().expect("it was short enough")).as_ref(), Ok(&reply));
    let hash = WORLD.signed.hash();
    if let Ok(Some(signed)) = reply.unpack(hash) {
        assert_eq!(signed.hash(), hash, "another register is refused");
        let _ = signed.verify(&WORLD.centre.public_key(), crate::world::TREE);
    }
}

/// zstd of any content under any declared size: four bytes, then what claims to be compressed.
pub fn compressed_segment(bytes: &[u8]) {
    let Some((declared, zstd)) = bytes.split_first_chunk::<4>() else { return };
    unpacked_segment(&Compressed::received(u32::from_le_bytes(*declared), Blob(zstd.to_vec())));
}

/// Bytes of a stream, cut into chunks of any size: frames come out whole, alike for every cutting, and take no more memory than
/// arrived.
pub fn wire_frames(bytes: &[u8]) {
    let Some((step, wire)) = choice(bytes) else { return };
    const FRAME_BYTES_MAX: u32 = 4096;
    let whole = assembled(wire, usize::MAX, FRAME_BYTES_MAX);
    let cut = assembled(wire, usize::from(step), FRAME_BYTES_MAX);
    match (whole, cut) {
        (Ok((whole, _)), Ok((cut, memory))) => {
            assert_eq!(whole, cut, "a cut makes no difference");
            assert!(whole.iter().all(|frame| frame.len() <= FRAME_BYTES_MAX as usize) && memory <= FRAME_BYTES_MAX as usize);
            let carried: usize = whole.iter().map(|frame| 4 + frame.len()).sum();
            assert!(
                carried <= wire.len() && wire.len() - carried < 4 + FRAME_BYTES_MAX as usize,
                "nothing is made up, and only a last frame waits"
            );
        }
        (Err(whole), Err(cut)) => assert_eq!(whole, cut),
        (whole, cut) => panic!("{whole:?} but in pieces {cut:?}"),
    }
}

fn unpacked_segment(packed: &Compressed<Segment>) {
    let Ok(segment) = packed.unpack(SEGMENT_PLAIN_BYTES_MAX) else { return };
    assert!(packed.plain_bytes as usize <= SEGMENT_PLAIN_BYTES_MAX);
    let again = Compressed::pack(&segment, SEGMENT_PLAIN_BYTES_MAX).expect("it was short enough");
    assert_eq!(again.unpack(SEGMENT_PLAIN_BYTES_MAX).as_ref(), Ok(&segment), "a segment survives being packed");
    let _ = ReceivedSegment::new(segment).verify(&WORLD.register, PROVINCE, Level::FOUNDING);
}
