//! The power fails for a whole site at once, in the middle of entry: what was written and not yet synced is gone from every
//! disk. Whatever was acknowledged is there when the machines start again.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use kho_storage::ids::SiteId;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::SOURCES;
use crate::{
    loop_disk::LoopDisk,
    place::Place,
    preload::build_library,
    recorder::{Recorded, Recorder},
    stage::Stage,
    trees::DISTRICT,
};

const DISK_BYTES: u64 = 192 << 20;
const LYING_DISK: &str = include_str!("../../preload/lying_disk.c");

/// Cuts the district's power so many times under the recorded workload.
///
/// # Errors
/// Whatever is broken; the seed is printed.
pub async fn play(stage: &mut Stage, seed: u64, cuts: usize) -> anyhow::Result<Recorded> {
    eprintln!("power cuts with seed {seed}");
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let nodes: Vec<Place> = stage.places().into_iter().filter(|at| at.0 == SiteId(DISTRICT)).collect();
    std::fs::create_dir_all(stage.folder("images"))?;
    let mut disks = Vec::new();
    for at in &nodes {
        // The disks are smaller than the reserve that is usual.
        stage.configure(*at, "idle_head_seconds = 5\n", "idle_head_seconds = 5\ndisk_reserve_mib = 0\n")?;
        // Small buffers: states are flushed and compacted all the time, so a cut comes in the middle of that too.
        stage.configure(*at, "write_buffer_mib = 64", "write_buffer_mib = 1")?;
        let image = stage.folder("images").join(format!("node-{}.img", at.1));
        disks.push(LoopDisk::at(&stage.tree.node_dir(at.0, at.1).join("data"), &image, DISK_BYTES)?);
        stage.tree.take_data_folder(at.0, at.1)?;
    }
    stage.tree.start().await?;
    let recorder = Recorder::start(stage, &SOURCES)?;
    for cut in 0..cuts {
        recorder.until_more(chance.random_range(200..1_200)).await?;
        tokio::time::sleep(Duration::from_millis(chance.random_range(0..200))).await;
        eprintln!("cut {} after {} rows", cut + 1, recorder.acknowledged());
        // All stop at one moment and write nothing more; only then is it kept what the disks hold.
        for at in &nodes {
            stage.pause(*at)?;
        }
        for disk in &mut disks {
            disk.copy_as_it_is()?;
        }
        for at in &nodes {
            stage.kill(*at)?;
        }
        for disk in &mut disks {
            disk.lose_power()?;
        }
        for at in &nodes {
            stage.tree.start_node(at.0, at.1)?;
        }
        for at in &nodes {
            stage.tree.wait_for_answer(at.0, at.1).await?;
            ensure!(!stage.status(*at).await?.consensus.nodes.is_empty(), "node {} of site {} forgot its site", at.1, at.0);
        }
        let observer = nodes[cut % nodes.len()];
        stage.until_ready(observer).await?;
        recorder.ensure_kept_so_far(stage, observer).await.with_context(|| format!("after cut {}", cut + 1))?;
    }
    recorder.until_more(200).await?;
    let recorded = recorder.conclude(stage, &stage.places()).await;
    // The disks are taken away after their nodes.
    for at in &nodes {
        stage.kill(*at)?;
    }
    recorded
}

/// The same on disks that do nothing when they are asked to sync: what was acknowledged is lost then, and the checks must find that.
///
/// # Errors
/// What was lost; that is what this is for.
pub async fn play_on_lying_disks(stage: &mut Stage, seed: u64) -> anyhow::Result<Recorded> {
    let library = build_library("lying_disk", LYING_DISK, &stage.folder("lying"))?;
    for node in stage.tree.nodes(SiteId(DISTRICT)) {
        stage.tree.set_variable(SiteId(DISTRICT), node, "LD_PRELOAD", library.clone());
    }
    play(stage, seed, 1).await
}
