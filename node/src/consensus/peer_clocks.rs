//! What the machines' clocks of the site's other nodes show.

use std::time::Duration;

use futures::future::join_all;
use kho_storage::ids::SiteTime;
use tokio::time::timeout;

use super::{
    Consensus,
    peers::{PeerTarget, wire::Subject},
};

/// A clock that comes later says too little.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

impl Consensus {
    /// The clocks of the other nodes that answer at once.
    pub async fn peer_clocks(&self) -> Vec<SiteTime> {
        let targets: Vec<PeerTarget> = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow();
            let others = metrics.membership_config.nodes().filter(|(id, _)| **id != self.node().0);
            others.map(|(id, record)| PeerTarget::of_member(*id, record)).collect()
        };
        let asked = targets.iter().map(async |target| {
            let reply = timeout(ANSWER_TIMEOUT, self.peers.call(target, Subject::Clock, &[])).await.ok()?.ok()?;
            reply.read::<SiteTime>().ok()
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}
