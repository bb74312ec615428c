//! An incoming connection from a node that still lives in another epoch of an origin, as an old machine of a closed epoch would. The
//! node sends a hello and its one segment, and is refused. Or it connects and never sends anything.

use kho_replication::frames::{ChildFrame, Compressed, FrameId, Hello, ParentFrame, SEGMENT_PLAIN_BYTES_MAX, StreamHeld};
use kho_storage::{
    digest::DigestSum,
    ids::{Epoch, NodeId, OriginId, SiteId, SiteTime, StreamSeq},
    level::LevelOffer,
    stream::{Batch, BatchBody, Head, Segment, SignedHead, chain_next, chain_start},
};

use super::World;
use crate::{agenda::LinkNo, counts::Fault, link::Caller, tree};

impl World {
    pub(super) fn connect_other_epoch(&mut self) {
        let child = self.dice.pick(&tree::CHILDREN);
        let parents = self.parents.of(child).to_vec();
        let parent = self.dice.pick(&parents);
        let Some(node) = self.site(parent).leader.as_ref().map(|leader| leader.node) else { return };
        let (register, _) = self.registers_of(parent);
        let led: Vec<OriginId> = tree::origins().filter(|origin| register.leads_through(*origin, parent)).collect();
        if led.is_empty() {
            return;
        }
        let origin = self.dice.pick(&led);
        let first = Epoch::first(tree::TREE, origin);
        let number = first.number + self.dice.below(2) as u32;
        let segment = Box::new(segment_of(origin, Epoch { number, id: first.id ^ 1 }));
        self.opens_link(child, Caller::OtherEpoch { origin, segment }, parent, node);
    }

    pub(super) fn greet_from_other_epoch(&mut self, number: LinkNo) {
        if self.dice.chance(1, 3) {
            self.counts.fault(Fault::SilentCaller);
            return;
        }
        let (register_version, register_hash) = (self.parents.version(), self.issued.newest().hash());
        let Some(link) = self.links.get(&number) else { return };
        let Caller::OtherEpoch { origin, segment } = &link.caller else { return };
        let held =
            StreamHeld { origin: *origin, epoch: segment.head.head.epoch, next: segment.head.head.seq.next(), oldest_kept: segment.first };
        let hello = Hello {
            levels: LevelOffer::default(),
            site: link.child,
            node: NodeId(tree::NODES),
            register_version,
            register_hash,
            streams: vec![held],
        };
        self.send_frame(number, &ChildFrame::Hello(hello));
    }

    pub(super) fn receive_in_other_epoch(&mut self, number: LinkNo, frame: &ParentFrame) {
        let Some(link) = self.links.get(&number) else { return };
        let Caller::OtherEpoch { origin, segment } = &link.caller else { return };
        // A parent through which a newer register no longer leads the origin gives no cursor of it.
        if matches!(frame, ParentFrame::Welcome(welcome) if welcome.cursors.iter().any(|cursor| cursor.origin == *origin)) {
            let packed = Compressed::pack(&**segment, SEGMENT_PLAIN_BYTES_MAX).expect("a short segment can be packed");
            let frame = ChildFrame::Segment { id: FrameId(1), origin: *origin, segment: packed };
            self.counts.fault(Fault::OtherEpoch);
            return self.send_frame(number, &frame);
        }
        if matches!(frame, ParentFrame::Adopted { .. }) {
            let what = format!("a segment of another epoch of origin {origin} was adopted");
            self.violated(what);
        }
        self.breaks(number);
    }

    fn send_frame(&mut self, number: LinkNo, frame: &ChildFrame) {
        match frame.encode() {
            Ok(bytes) => self.send_up(number, bytes),
            Err(error) => self.violated(format!("a frame is too long: {error}")),
        }
    }
}

/// One batch without rows, in that epoch, signed as the author signs.
fn segment_of(origin: OriginId, epoch: Epoch) -> Segment {
    let batch: Batch =
        Batch { origin, epoch, seq: StreamSeq(1), site_time: SiteTime(1), body: BatchBody::Rows { requests: vec![], changes: vec![] } };
    let bytes = batch.encode().expect("a batch always encodes");
    let chain = chain_next(chain_start(origin, epoch), &bytes);
    let head = Head { origin, epoch, seq: StreamSeq(1), chain, digest: DigestSum::default().digest(), rows: 0, site_time: SiteTime(1) };
    let (author, node) = (SiteId(origin.0), NodeId(1));
    let head = SignedHead::sign(head, author, node, tree::signing_key(author, node)).expect("an Ed25519 key always signs");
    Segment { first: StreamSeq(1), batches: vec![bytes], head }
}
