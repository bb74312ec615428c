//! What happened, on its way to the uplink: bounded in number, and frames of the parent in bytes.

use kho_replication::uplink::UplinkInput;
use tokio::sync::mpsc;

use crate::byte_budget::{ByteBudget, ByteShare};

/// Inputs that wait for the uplink. Who brings one more waits too, so a parent that sends much is held back by its connection. What is
/// read from the disk is bounded in bytes by the uplink's window, which reserves room before it asks.
const INPUTS_MAX: usize = 256;
/// Frames of the parent that wait for the uplink, in bytes; one that is longer waits alone.
const PARENT_FRAMES_BYTES_MAX: u32 = 32 << 20;

/// Where whatever happened is handed to the uplink.
#[derive(Clone)]
pub(super) struct Inputs {
    queue: mpsc::Sender<Arriving>,
    parent_frames: ByteBudget,
}

/// What happened, and the room of a parent's frame until the uplink has it.
pub(super) type Arriving = (UplinkInput, Option<ByteShare>);

impl Inputs {
    pub fn channel() -> (Self, mpsc::Receiver<Arriving>) {
        let (queue, arriving) = mpsc::channel(INPUTS_MAX);
        (Self { queue, parent_frames: ByteBudget::new(PARENT_FRAMES_BYTES_MAX) }, arriving)
    }

    /// Waits while the queue is full. The receiver is gone only when the node stops.
    pub async fn send(&self, input: UplinkInput) {
        let _ = self.queue.send((input, None)).await;
    }

    /// As [`Self::send`], on a thread that may wait.
    pub fn blocking_send(&self, input: UplinkInput) {
        let _ = self.queue.blocking_send((input, None));
    }

    /// A frame of a parent, of so many bytes on the wire. Waits while too many bytes wait already.
    pub async fn send_frame(&self, input: UplinkInput, bytes: usize) {
        let share = self.parent_frames.take(bytes).await;
        let _ = self.queue.send((input, Some(share))).await;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use kho_replication::{frames::ParentFrame, uplink::LinkId};
    use kho_storage::ids::SiteTime;

    use super::*;

    fn frame() -> UplinkInput {
        UplinkInput::FrameReceived { link: LinkId(1), frame: ParentFrame::Clock(SiteTime(1)) }
    }

    #[test]
    fn frames_of_a_parent_wait_outside_once_they_would_take_too_many_bytes() {
        let (inputs, mut arriving) = Inputs::channel();
        let half = PARENT_FRAMES_BYTES_MAX as usize / 2;
        for _ in 0..2 {
            inputs.send_frame(frame(), half).now_or_never().expect("there is room");
        }
        assert!(inputs.send_frame(frame(), 1).now_or_never().is_none(), "the connection is not read further");
        assert!(inputs.send(UplinkInput::Tick).now_or_never().is_some(), "whatever is small goes on");
        drop(arriving.try_recv().expect("the first frame"));
        assert!(inputs.send_frame(frame(), half).now_or_never().is_some());
    }
}
