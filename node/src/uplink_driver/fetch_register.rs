//! Registers that the parent offered, fetched on streams of their own beside the link's frames.

use std::{convert::Infallible, sync::Arc, time::Duration};

use kho_replication::{
    frames::{FrameCodecError, REGISTER_REPLY_BYTES_MAX, RegisterOffer, RegisterReply, RegisterRequest},
    quic::{Connection, FrameIoError, Misbehaviour},
    uplink::{LinkId, RegisterFetchFailure, UplinkInput},
};
use kho_storage::register::SignedRegister;
use tokio::sync::mpsc;

use super::inputs::Inputs;

/// A transfer of which no byte arrives for so long is given up; the uplink has it tried again. The whole of it may take as long as the link
/// needs.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Fetches what is wanted, as long as the connection is held. Who wants another one wants the one under way no more.
pub(super) async fn fetch_registers(
    connection: &Connection,
    link: LinkId,
    mut wanted: mpsc::Receiver<RegisterOffer>,
    inputs: &Inputs,
) -> Infallible {
    let mut next = wanted.recv().await;
    while let Some(offer) = next {
        let (result, bytes) = tokio::select! {
            fetched = fetch(connection, &offer) => fetched,
            Some(other) = wanted.recv() => {
                next = Some(other);
                continue;
            }
        };
        if let Err(failure) = &result {
            tracing::warn!(%link, version = offer.version, %failure, "a register that the parent offered did not come");
        }
        inputs.send_frame(UplinkInput::RegisterFetched { link, offer, result }, bytes).await;
        next = wanted.recv().await;
    }
    // The link goes on without.
    std::future::pending().await
}

/// What came of a transfer, and how many bytes it was.
async fn fetch(connection: &Connection, offer: &RegisterOffer) -> (Result<Arc<SignedRegister>, RegisterFetchFailure>, usize) {
    match reply(connection, offer).await {
        Ok(reply) => (unpack(offer, reply.clone()).await, reply.len()),
        Err(failure) => (Err(failure), 0),
    }
}

async fn reply(connection: &Connection, offer: &RegisterOffer) -> Result<bytes::Bytes, RegisterFetchFailure> {
    let interrupted = RegisterFetchFailure::Interrupted;
    let request = RegisterRequest { hash: offer.hash }.encode().map_err(|error| interrupted(error.to_string()))?;
    let bytes_max = u32::try_from(REGISTER_REPLY_BYTES_MAX).unwrap_or(u32::MAX);
    connection.call_unless_silent(&request, bytes_max, SILENCE_MAX).await.map_err(|error| match error {
        FrameIoError::PeerMisbehaved(Misbehaviour::FrameTooLong { announced_bytes, .. }) => {
            let bytes = usize::try_from(announced_bytes).unwrap_or(usize::MAX);
            RegisterFetchFailure::Unreadable(FrameCodecError::TooLong { bytes, bytes_max: REGISTER_REPLY_BYTES_MAX })
        }
        error => interrupted(error.to_string()),
    })
}

/// Unpacks the register on a thread that may take its time.
async fn unpack(offer: &RegisterOffer, reply: bytes::Bytes) -> Result<Arc<SignedRegister>, RegisterFetchFailure> {
    let hash = offer.hash;
    let unpack = move || RegisterReply::decode(&reply)?.unpack(hash);
    match tokio::task::spawn_blocking(unpack).await {
        Ok(Ok(Some(signed))) => Ok(Arc::new(signed)),
        Ok(Ok(None)) => Err(RegisterFetchFailure::NotHeld),
        Ok(Err(error)) => Err(RegisterFetchFailure::Unreadable(error)),
        Err(error) => Err(RegisterFetchFailure::Interrupted(error.to_string())),
    }
}
