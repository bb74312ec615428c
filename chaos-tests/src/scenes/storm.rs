//! Everything that processes and links can do, at random, at every tier: nodes and whole sites killed and started again, nodes
//! paused, links cut, nodes cut off from their own site, links that lose, double, reorder and delay. Up to two at a time.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::ensure;
use kho_local_tree::TreePlan;
use kho_node::api::Role;
use kho_storage::ids::{SiteId, Tier};
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::SOURCES;
use crate::{
    network_conditions::Quality,
    proxy::Link,
    recorder::{Recorded, Recorder},
    stage::{Place, Stage},
    trees::{self, BIEN_HOA, CENTRE, DISTRICT, REGION},
};

const FAULTS_AT_ONCE_MAX: usize = 2;
/// How long the tree is left as it is between two steps.
const STEP_MS_MAX: u64 = 1_500;

/// Three tiers; the lower two with three nodes each.
pub fn plan() -> TreePlan {
    let mut middle = trees::region();
    (middle.nodes, middle.tier) = (3, Tier::Region);
    trees::plan(vec![trees::centre(1), middle, trees::district(DISTRICT, &BIEN_HOA, &[REGION], 3)])
}

/// A fault that stands until it is mended.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Killed(Place),
    SiteKilled(SiteId),
    Paused(Place),
    LinkCut(Place),
    /// From its site, and from everybody who dials it.
    CutOff(Place),
    LinkSpoiled(Place, Quality),
}

/// Lets `faults` faults come and go under the recorded workload, mends everything, and checks everything.
///
/// # Errors
/// Whatever is broken; the seed is printed.
pub async fn play(stage: &mut Stage, seed: u64, faults: usize) -> anyhow::Result<Recorded> {
    eprintln!("storm with seed {seed}, {faults} faults");
    let mut links = Vec::new();
    for site in [CENTRE, REGION, DISTRICT] {
        links.extend(stage.links_before(SiteId(site), seed)?);
    }
    stage.tree.start().await?;
    let everywhere = stage.places();
    let recorder = Recorder::start(stage, &SOURCES)?;
    recorder.until_more(100).await?;
    let mut storm = Storm { chance: ChaCha8Rng::seed_from_u64(seed), links, standing: vec![], begun: Instant::now() };
    let mut left = faults;
    while left > 0 || !storm.standing.is_empty() {
        let begin = left > 0 && storm.standing.len() < FAULTS_AT_ONCE_MAX && (storm.standing.is_empty() || storm.chance.random_bool(0.5));
        if begin {
            left -= 1;
            storm.begin(stage).await?;
        } else {
            storm.mend(stage)?;
        }
        let pause = storm.chance.random_range(50..STEP_MS_MAX);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        storm.ensure_all_run(stage)?;
    }
    for place in &everywhere {
        stage.until_takes_part(*place).await?;
    }
    recorder.until_more(100).await?;
    recorder.conclude(stage, &everywhere).await
}

struct Storm {
    chance: ChaCha8Rng,
    links: Vec<(Place, Link)>,
    standing: Vec<Fault>,
    begun: Instant,
}

impl Storm {
    async fn begin(&mut self, stage: &mut Stage) -> anyhow::Result<()> {
        let fault = self.drawn(stage).await;
        self.tell("begins", fault);
        match fault {
            Fault::Killed(place) => stage.kill(place)?,
            Fault::SiteKilled(site) => {
                for node in stage.tree.nodes(site) {
                    if stage.runs((site, node)) {
                        stage.kill((site, node))?;
                    }
                }
            }
            Fault::Paused(place) => stage.pause(place)?,
            Fault::LinkCut(place) => self.link(place).cut(),
            Fault::CutOff(place) => {
                let itself: SocketAddr = stage.tree.quic_address(place.0, place.1);
                for (at, link) in &self.links {
                    if *at == place { link.cut() } else { link.cut_from(itself) }
                }
            }
            Fault::LinkSpoiled(place, quality) => self.link(place).spoil(quality),
        }
        self.standing.push(fault);
        Ok(())
    }

    fn mend(&mut self, stage: &mut Stage) -> anyhow::Result<()> {
        let fault = self.standing.swap_remove(self.chance.random_range(0..self.standing.len()));
        self.tell("ends", fault);
        match fault {
            Fault::Killed((site, node)) => stage.tree.start_node(site, node)?,
            Fault::SiteKilled(site) => {
                for node in stage.tree.nodes(site) {
                    stage.tree.start_node(site, node)?;
                }
            }
            // It may have been killed with its site meanwhile.
            Fault::Paused(place) if !stage.runs(place) => {}
            Fault::Paused(place) => stage.resume(place)?,
            // Two cuts at a time are both over with the first that ends: one link more is whole a moment earlier.
            Fault::LinkCut(_) | Fault::CutOff(_) => self.links.iter().for_each(|(_, link)| link.resume()),
            Fault::LinkSpoiled(place, _) => self.link(place).spoil(Quality::WHOLE),
        }
        Ok(())
    }

    async fn drawn(&mut self, stage: &mut Stage) -> Fault {
        let places = stage.places();
        // Only what runs and is not paused can be killed or paused.
        let whole: Vec<Place> = places.iter().copied().filter(|place| stage.runs(*place) && !self.is_paused(*place)).collect();
        let place = whole[self.chance.random_range(0..whole.len())];
        match self.chance.random_range(0..12) {
            0..=3 => Fault::Killed(self.author_s_leader(stage, &whole).await.unwrap_or(place)),
            4..=5 => Fault::Killed(place),
            6 => Fault::SiteKilled(place.0),
            7 => Fault::Paused(place),
            8 => Fault::LinkCut(place),
            9 => Fault::CutOff(place),
            _ => Fault::LinkSpoiled(place, Quality::bad(self.chance.next_u64())),
        }
    }

    /// Where requests are under way: whoever leads the site that authors, if somebody does and may be killed.
    async fn author_s_leader(&self, stage: &Stage, whole: &[Place]) -> Option<Place> {
        for place in whole.iter().copied().filter(|(site, _)| *site == SiteId(DISTRICT)) {
            if stage.status(place).await.is_ok_and(|status| status.consensus.role == Role::Leader) {
                return Some(place);
            }
        }
        None
    }

    fn is_paused(&self, place: Place) -> bool {
        self.standing.iter().any(|fault| matches!(fault, Fault::Paused(paused) if *paused == place))
    }

    fn link(&self, place: Place) -> &Link {
        let found = self.links.iter().find(|(at, _)| *at == place);
        &found.expect("every node of the plan has a link").1
    }

    /// No node may end by itself, whatever is done to it.
    fn ensure_all_run(&self, stage: &mut Stage) -> anyhow::Result<()> {
        for place in stage.places() {
            let killed = self.standing.iter().any(|fault| match fault {
                Fault::Killed(at) => *at == place,
                Fault::SiteKilled(site) => *site == place.0,
                _ => false,
            });
            ensure!(killed || stage.runs(place), "node {} of site {} ended by itself", place.1, place.0);
        }
        Ok(())
    }

    fn tell(&self, what: &str, fault: Fault) {
        eprintln!("{:7.3} s: {what} {fault:?}", self.begun.elapsed().as_secs_f64());
    }
}
