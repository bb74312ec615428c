//! Signing heads: the ready leader signs what its site has applied and commits it; only committed heads leave the site.

use std::{sync::Arc, time::Duration};

use kho_storage::{
    command::{Command, Outcome},
    error::StorageError,
    ids::{OriginId, SiteTime},
    signature::SigningKey,
    stream::SignedHead,
    warehouse::OriginState,
};
use tokio::{sync::Notify, time::Instant};

use crate::{api::AlarmKind, node::Node, reasons};

/// How often the signer checks for idle streams, and for a change of leadership.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// From one head to the next at least: writes that follow each other quickly share a head, for each head is an entry of the site's
/// log that the next write would wait behind. The first write after a pause gets its head at once.
const HEAD_PAUSE: Duration = Duration::from_millis(20);
/// A failed commit is tried again after this long.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Runs until the node stops. `batch_applied` is notified after every own batch.
pub async fn sign_heads(node: Arc<Node>, key: SigningKey, batch_applied: Arc<Notify>) {
    let mut next_head = Instant::now();
    loop {
        tokio::select! {
            () = batch_applied.notified() => {}
            () = tokio::time::sleep(POLL_INTERVAL) => {}
            () = node.stopping.cancelled() => return,
        }
        if !node.leads() || node.stopping.run_until_cancelled(tokio::time::sleep_until(next_head)).await.is_none() {
            continue;
        }
        let Some(register) = node.warehouse.register() else { continue };
        node.settle_clock();
        for origin in register.origins_of(node.site()).collect::<Vec<_>>() {
            match commit_due_head(&node, &key, origin).await {
                Ok(()) => {
                    node.alarms.end(|kind| matches!(kind, AlarmKind::HeadsRefused { origin: refused, .. } if *refused == origin.0));
                    next_head = Instant::now() + HEAD_PAUSE;
                }
                Err(HeadError::Refused(outcome)) => {
                    node.alarms.raise(AlarmKind::HeadsRefused { origin: origin.0, reason: reasons::outcome(&outcome) }, node.clock.now());
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Err(error) => {
                    tracing::warn!(%origin, %error, "a head could not be committed; trying again");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }
}

/// Why a head was not committed.
#[derive(Debug, thiserror::Error)]
enum HeadError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Signature(#[from] kho_storage::signature::SignatureError),
    #[error(transparent)]
    Propose(#[from] crate::consensus::ProposeError),
    #[error("the site refused it: {0:?}")]
    Refused(Outcome),
}

async fn commit_due_head(node: &Node, key: &SigningKey, origin: OriginId) -> Result<(), HeadError> {
    let Some(state) = node.origin_or_empty(origin)? else { return Ok(()) };
    let now = node.clock.now();
    if !is_due(&state, now, node.config.limits.idle_head_seconds) {
        return Ok(());
    }
    // A site that was set back lacks batches that it wrote: it must not say that it is complete up to now.
    if state.head_seq == Some(state.last()) && node.warehouse.set_back(origin)?.is_some() {
        return Ok(());
    }
    // Batches may be on their way while this is signed: only an idle stream is said to be complete up to now.
    let site_time = if state.head_seq == Some(state.last()) { now.max(state.batch_time) } else { state.batch_time }.max(state.watermark);
    let signed = SignedHead::sign(state.head(origin, site_time), node.site(), node.config.node, key)?;
    match node.consensus.propose(&Command::CommitHead { signed }).await? {
        Outcome::HeadCommitted => Ok(()),
        other => Err(HeadError::Refused(other)),
    }
}

/// A head is due when batches stand without one, or when the newest says nothing of the last while.
fn is_due(state: &OriginState, now: SiteTime, idle_head_seconds: u64) -> bool {
    state.head_seq != Some(state.last()) || now.seconds_since(state.watermark) >= idle_head_seconds
}
