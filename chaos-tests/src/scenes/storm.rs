//! Random faults of processes and links at every tier: nodes and whole sites are killed and started again, nodes are paused, links
//! are cut, nodes are cut off from their site, and links lose, duplicate, reorder and delay packets. Up to two faults at a time.

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
    place::Place,
    proxy::Link,
    recorder::{Recorded, Recorder},
    stage::Stage,
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

/// A fault that stands until the scene ends it.
#[derive(Debug, Clone, Copy)]
enum StandingFault {
    Killed(Place),
    SiteKilled(SiteId),
    Paused(Place),
    LinkCut(Place),
    /// From its site, and from everybody who dials it.
    CutOff(Place),
    LinkDegraded(Place, Quality),
}

/// Lets `faults` faults come and go under the recorded workload, ends all of them, and checks everything.
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
            storm.end(stage)?;
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
    standing: Vec<StandingFault>,
    begun: Instant,
}

impl Storm {
    async fn begin(&mut self, stage: &mut Stage) -> anyhow::Result<()> {
        let fault = self.drawn(stage).await;
        self.report("begins", fault);
        match fault {
            StandingFault::Killed(place) => stage.kill(place)?,
            StandingFault::SiteKilled(site) => {
                for node in stage.tree.nodes(site) {
                    if stage.runs((site, node)) {
                        stage.kill((site, node))?;
                    }
                }
            }
            StandingFault::Paused(place) => stage.pause(place)?,
            StandingFault::LinkCut(place) => self.link(place).cut(),
            StandingFault::CutOff(place) => {
                let itself: SocketAddr = stage.tree.quic_address(place.0, place.1);
                for (at, link) in &self.links {
                    if *at == place { link.cut() } else { link.cut_from(itself) }
                }
            }
            StandingFault::LinkDegraded(place, quality) => self.link(place).degrade(quality),
        }
        self.standing.push(fault);
        Ok(())
    }

    fn end(&mut self, stage: &mut Stage) -> anyhow::Result<()> {
        let fault = self.standing.swap_remove(self.chance.random_range(0..self.standing.len()));
        self.report("ends", fault);
        match fault {
            StandingFault::Killed((site, node)) => stage.tree.start_node(site, node)?,
            StandingFault::SiteKilled(site) => {
                for node in stage.tree.nodes(site) {
                    stage.tree.start_node(site, node)?;
                }
            }
            // It may have been killed with its site meanwhile.
            StandingFault::Paused(place) if !stage.runs(place) => {}
            StandingFault::Paused(place) => stage.resume(place)?,
            // Two cuts at a time are both over with the first that ends: one more link is whole a moment earlier.
            StandingFault::LinkCut(_) | StandingFault::CutOff(_) => self.links.iter().for_each(|(_, link)| link.resume()),
            StandingFault::LinkDegraded(place, _) => self.link(place).degrade(Quality::WHOLE),
        }
        Ok(())
    }

    async fn drawn(&mut self, stage: &mut Stage) -> StandingFault {
        let places = stage.places();
        // Only what runs and is not paused can be killed or paused.
        let whole: Vec<Place> = places.iter().copied().filter(|place| stage.runs(*place) && !self.is_paused(*place)).collect();
        let place = whole[self.chance.random_range(0..whole.len())];
        match self.chance.random_range(0..12) {
            0..=3 => StandingFault::Killed(self.author_s_leader(stage, &whole).await.unwrap_or(place)),
            4..=5 => StandingFault::Killed(place),
            6 => StandingFault::SiteKilled(place.0),
            7 => StandingFault::Paused(place),
            8 => StandingFault::LinkCut(place),
            9 => StandingFault::CutOff(place),
            _ => StandingFault::LinkDegraded(place, Quality::bad(self.chance.next_u64())),
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
        self.standing.iter().any(|fault| matches!(fault, StandingFault::Paused(paused) if *paused == place))
    }

    fn link(&self, place: Place) -> &Link {
        let found = self.links.iter().find(|(at, _)| *at == place);
        &found.expect("every node of the plan has a link").1
    }

    /// No node may end by itself, whatever is done to it.
    fn ensure_all_run(&self, stage: &mut Stage) -> anyhow::Result<()> {
        for place in stage.places() {
            let killed = self.standing.iter().any(|fault| match fault {
                StandingFault::Killed(at) => *at == place,
                StandingFault::SiteKilled(site) => *site == place.0,
                _ => false,
            });
            ensure!(killed || stage.runs(place), "node {} of site {} ended by itself", place.1, place.0);
        }
        Ok(())
    }

    fn report(&self, what: &str, fault: StandingFault) {
        eprintln!("{:7.3} s: {what} {fault:?}", self.begun.elapsed().as_secs_f64());
    }
}
