//! Scenes: one fault each, on a tree under the recorded workload, ended by all checks. The tests play each once with a fixed seed,
//! `kho-soak-faults` plays them at random, as many rounds as wanted.

pub mod byte_flipped;
pub mod clocks_set;
pub mod disk_full;
pub mod power_cut;
pub mod storm;

use kho_local_tree::{PlannedSite, TreePlan};
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::{
    loop_disk::may_attach,
    mounting::may_mount,
    preload::may_build,
    recorder::{Recorded, Source},
    stage::Stage,
    trees::{self, BIEN_HOA, CENTRE, DISTRICT},
};

/// Where the scenes of this folder enter records.
pub const SOURCES: [Source; 1] = [Source { site: DISTRICT, commune: BIEN_HOA.commune }];

/// One kind of scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scene {
    Storm,
    ReserveReached,
    LogDiskFull,
    StateDiskFull,
    ClocksSet,
    ByteFlipped,
    PowerCut,
}

/// A round of the soak: which scene is played, with which seed, and how long.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    pub scene: Scene,
    pub seed: u64,
    pub length: usize,
}

impl Round {
    /// The round of this number. Every other one is a storm, which holds most kinds of faults.
    pub fn drawn(number: u64) -> Self {
        let mut chance = ChaCha8Rng::seed_from_u64(number);
        let scene = if chance.random_bool(0.5) { Scene::Storm } else { Scene::ALL[chance.random_range(0..Scene::ALL.len())] };
        let (seed, length) = (chance.next_u64(), chance.random_range(4..16));
        Self { scene, seed, length: if scene == Scene::Storm { length } else { length / 2 } }
    }

    /// Plays it.
    ///
    /// # Errors
    /// Whatever is broken.
    pub async fn play(self, stage: &mut Stage) -> anyhow::Result<Recorded> {
        self.scene.play(stage, self.seed, self.length).await
    }
}

impl Scene {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Storm, Self::ReserveReached, Self::LogDiskFull, Self::StateDiskFull, Self::ClocksSet, Self::ByteFlipped, Self::PowerCut];

    /// The tree that it plays on.
    pub fn plan(self) -> TreePlan {
        match self {
            Self::Storm => storm::plan(),
            _ => district_below_centre(),
        }
    }

    /// Whether this machine can play it; else why not.
    ///
    /// # Errors
    /// The system's reason.
    pub fn may_be_played(self) -> Result<(), String> {
        match self {
            Self::ReserveReached | Self::LogDiskFull | Self::StateDiskFull => may_mount(),
            Self::PowerCut => may_attach(),
            Self::ClocksSet => may_build(),
            Self::Storm | Self::ByteFlipped => Ok(()),
        }
    }

    /// Plays it on a tree that is created from [`Self::plan`] and not started. `length` says how many faults follow each other, in
    /// scenes that can be longer or shorter.
    ///
    /// # Errors
    /// Whatever is broken.
    pub async fn play(self, stage: &mut Stage, seed: u64, length: usize) -> anyhow::Result<Recorded> {
        match self {
            Self::Storm => storm::play(stage, seed, length).await,
            Self::ReserveReached => disk_full::reserve_reached(stage).await,
            Self::LogDiskFull => disk_full::log_disk_full(stage).await,
            Self::StateDiskFull => disk_full::state_disk_full(stage).await,
            Self::ClocksSet => clocks_set::play(stage).await,
            Self::ByteFlipped => byte_flipped::play(stage, seed, length).await,
            Self::PowerCut => power_cut::play(stage, seed, length).await,
        }
    }
}

/// A district of three nodes straight below the centre.
pub fn district_below_centre() -> TreePlan {
    let centre: PlannedSite = trees::centre(1);
    trees::plan(vec![centre, trees::district(DISTRICT, &BIEN_HOA, &[CENTRE], 3)])
}
