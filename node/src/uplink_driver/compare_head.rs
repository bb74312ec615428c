//! A parent showed how far it holds what this site itself authors.

use std::sync::Arc;

use super::inputs::Inputs;
use crate::node::Node;
use kho_replication::uplink::UplinkInput;
use kho_storage::{
    command::{Command, Outcome, ShownBy},
    ids::SiteId,
    stream::SignedHead,
    warehouse::HeadPosition,
};

/// Compares a head of this site's own with what the site holds, and notes in the site when it was set back. A head that lies in the
/// history that is held is no proposal.
pub(super) async fn compare_head(node: Arc<Node>, parent: SiteId, head: SignedHead, inputs: Inputs) {
    let noted = match node.warehouse.head_position(&head) {
        Ok(HeadPosition::Within | HeadPosition::Unknown) => return,
        Ok(HeadPosition::Further | HeadPosition::Elsewhere) => {
            let command = Command::NoteSetBack { site_time: node.clock.now(), shown_by: ShownBy::Site(parent), signed: head.clone() };
            node.consensus.propose(&command).await.map_err(|error| error.to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    match noted {
        Ok(Outcome::Recorded) => tracing::error!(
            origin = %head.head.origin, seq = %head.head.seq, %parent,
            "this site was set back: its parent holds more, or another history, of what it writes; entry is closed, see `kho fork list`"
        ),
        Ok(other) => tracing::warn!(%parent, ?other, "the parent showed a head of this site's own that is not by a node of it"),
        Err(error) => {
            tracing::warn!(%error, "whether this site was set back could not be noted now; it is compared again");
            inputs.send(UplinkInput::HeadNotCompared { parent, head }).await;
        }
    }
}
