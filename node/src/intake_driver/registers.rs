//! Children fetch the registers that their intake offered them, each on a stream of its own.
//!
//! A register is packed once, however many children fetch it, and all their connections send the same bytes
//! (test `however_many_children_fetch_a_register_it_is_packed_once`).

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use kho_replication::{
    frames::{FrameCodecError, RegisterReply, RegisterRequest},
    quic::{Connection, FrameReceiver, FrameSender},
};
use kho_storage::{ids::Hash32, register::SignedRegister};
use tokio::sync::Mutex;

use crate::node::Node;

/// A child that opens a stream and requests nothing for so long is answered no further. One that requested a register ends its transfer
/// itself when nothing comes.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Packed registers that are kept at most, in number and in bytes; the newest is kept whatever its length. A child that was away for long
/// fetches several.
const PACKED_MAX: usize = 8;
const PACKED_BYTES_MAX: usize = 32 << 20;

/// Registers as they travel, by the hashes of their texts. The newest come first.
#[derive(Debug, Default)]
pub struct PackedRegisters(Mutex<VecDeque<(Hash32, Bytes)>>);

impl PackedRegisters {
    /// The reply that holds `signed`, whose text has this hash.
    async fn of(&self, hash: Hash32, signed: &Arc<SignedRegister>) -> Result<Bytes, String> {
        // It is held while one is packed: whoever else wants the same waits for it.
        let mut packed = self.0.lock().await;
        if let Some((_, bytes)) = packed.iter().find(|(of, _)| *of == hash) {
            return Ok(bytes.clone());
        }
        let signed = Arc::clone(signed);
        let pack = move || Ok::<_, FrameCodecError>(Bytes::from(RegisterReply::pack(&signed)?.encode()?));
        let bytes = tokio::task::spawn_blocking(pack).await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
        packed.push_front((hash, bytes.clone()));
        packed.truncate(PACKED_MAX);
        while packed.len() > 1 && packed.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > PACKED_BYTES_MAX {
            packed.pop_back();
        }
        Ok(bytes)
    }
}

/// Answers a child's requests one after another, until the connection ends. Further ones wait at the child.
pub(super) async fn serve_registers(node: Arc<Node>, connection: Connection) {
    while let Ok((sender, receiver)) = connection.accept_bi().await {
        if let Err(why) = answer(&node, sender, receiver).await {
            tracing::info!(child = %connection.peer_node().0, why, "a child did not get the register that it requested");
        }
    }
}

async fn answer(node: &Node, mut sender: FrameSender, mut receiver: FrameReceiver) -> Result<(), String> {
    let request = receiver.recv_unless_silent(SILENCE_MAX).await.map_err(|e| e.to_string())?.ok_or("no request came")?;
    let RegisterRequest { hash } = RegisterRequest::decode(&request).map_err(|e| e.to_string())?;
    let held = node.warehouse.register_chain().and_then(|chain| chain.find(hash).cloned());
    let reply = match held {
        Some(signed) => node.packed_registers.of(hash, &signed).await?,
        None => RegisterReply::NotHeld.encode().map_err(|e| e.to_string())?.into(),
    };
    sender.send_behind_others(reply).await.map_err(|e| e.to_string())?;
    sender.finish().map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register(number: usize) -> Arc<SignedRegister> {
        Arc::new(SignedRegister { text: format!("version = {number}\n"), signatures: vec![] })
    }

    #[tokio::test]
    async fn however_many_children_fetch_a_register_it_is_packed_once() {
        let (packed, signed) = (PackedRegisters::default(), register(1));
        let (one, other) = tokio::join!(packed.of(signed.hash(), &signed), packed.of(signed.hash(), &signed));
        let (one, other) = (one.expect("packed"), other.expect("packed"));
        assert_eq!(one.as_ptr(), other.as_ptr(), "the same bytes");
        let reply = RegisterReply::decode(&one).expect("own form");
        assert_eq!(reply.unpack(signed.hash()), Ok(Some((*signed).clone())));
    }

    #[tokio::test]
    async fn no_more_packed_registers_are_kept_than_there_is_room_for() {
        let packed = PackedRegisters::default();
        for number in 0..2 * PACKED_MAX {
            packed.of(register(number).hash(), &register(number)).await.expect("packed");
        }
        assert_eq!(packed.0.lock().await.len(), PACKED_MAX);
    }
}
