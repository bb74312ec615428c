//! What is done to a site while its clients call.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use kho_storage::ids::{NodeId, SiteId};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;

use crate::{place::Place, proxy::Link, stage::Stage};

/// Clients have begun before anything is done to the site.
const BEGIN_MS_MAX: u64 = 60;

/// One fault of one history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Disturbance {
    None,
    /// kill -9, and started again at once.
    LeaderKilled,
    FollowerKilled,
    /// It is paused for a while, and afterwards still takes itself for the leader.
    LeaderPaused,
    FollowerPaused,
    /// It and the other nodes can't reach each other. Clients still reach it.
    LeaderCutOff,
    FollowerCutOff,
}

impl Disturbance {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::LeaderKilled,
        Self::FollowerKilled,
        Self::LeaderPaused,
        Self::FollowerPaused,
        Self::LeaderCutOff,
        Self::FollowerCutOff,
    ];

    /// Any of them.
    pub fn drawn(chance: &mut ChaCha8Rng) -> Self {
        Self::ALL[chance.random_range(0..Self::ALL.len())]
    }

    /// Does it to the site, holds it for a while, and takes it back. Returns when it was done, if anything was.
    ///
    /// # Errors
    /// When the site has no leader for long, or a node ended by itself.
    pub async fn play(
        self,
        stage: &mut Stage,
        site: SiteId,
        links: &[(Place, Link)],
        chance: &mut ChaCha8Rng,
    ) -> anyhow::Result<Option<Instant>> {
        let leader = stage.tree.leader(site).await?;
        let followers: Vec<NodeId> = stage.tree.nodes(site).into_iter().filter(|node| *node != leader).collect();
        let follower = (site, followers[chance.random_range(0..followers.len())]);
        let leader = (site, leader);
        tokio::time::sleep(Duration::from_millis(chance.random_range(0..BEGIN_MS_MAX))).await;
        // Around the time after which a leader is missed, so that some pauses are detected and some are not.
        let held = Duration::from_millis(chance.random_range(100..1_600));
        let done = Instant::now();
        match self {
            Self::None => Ok(()),
            Self::LeaderKilled => kill_and_start(stage, leader, held).await,
            Self::FollowerKilled => kill_and_start(stage, follower, held).await,
            Self::LeaderPaused => pause(stage, leader, held).await,
            Self::FollowerPaused => pause(stage, follower, held).await,
            Self::LeaderCutOff => cut_off(stage, leader, links, held).await,
            Self::FollowerCutOff => cut_off(stage, follower, links, held).await,
        }?;
        Ok((self != Self::None).then_some(done))
    }
}

/// The node is started at once; what it misses and how it comes back takes its while too.
async fn kill_and_start(stage: &mut Stage, at: Place, held: Duration) -> anyhow::Result<()> {
    stage.kill(at)?;
    stage.tree.start_node(at.0, at.1)?;
    tokio::time::sleep(held).await;
    Ok(())
}

async fn pause(stage: &mut Stage, at: Place, held: Duration) -> anyhow::Result<()> {
    stage.pause(at)?;
    tokio::time::sleep(held).await;
    stage.resume(at)
}

async fn cut_off(stage: &Stage, at: Place, links: &[(Place, Link)], held: Duration) -> anyhow::Result<()> {
    let itself: SocketAddr = stage.tree.quic_address(at.0, at.1);
    for (place, link) in links {
        if *place == at { link.cut() } else { link.cut_from(itself) }
    }
    tokio::time::sleep(held).await;
    links.iter().for_each(|(_, link)| link.resume());
    Ok(())
}
