//! A disk that runs full: below its reserve a node refuses entry and names the reason; with no room at all it stops and names the reason. Nothing that was
//! acknowledged is lost, and when there is room again the node continues from its own disk.

use std::time::Instant;

use anyhow::ensure;
use kho_node::api::AlarmKind;
use kho_ops::client::{CallError, NodeClient};
use kho_storage::ids::SiteId;

use super::SOURCES;
use crate::{
    people::People,
    place::{Place, place},
    recorder::{Recorded, Recorder},
    small_disk::SmallDisk,
    stage::Stage,
    trees::{BIEN_HOA, CENTRE, DISTRICT},
    wait::until,
};

const DISK_BYTES: u64 = 96 << 20;
const RESERVE_MIB: u64 = 32;
const BULK_ROWS: u64 = 2_000;
/// More than enough: RocksDB takes the room of a log file in advance, and all of it must be used up first.
const BULK_BATCHES_MAX: u64 = 200;

/// The reserve: the centre's disk fills up, its children are asked to retry later and lose nothing; a district's node refuses entry with a
/// clear error while the others take it. Both go on by themselves.
///
/// # Errors
/// Whatever is broken.
pub async fn reserve_reached(stage: &mut Stage) -> anyhow::Result<Recorded> {
    let (parent, child) = (place(CENTRE, 1), place(DISTRICT, 1));
    let parent_disk = small_disk(stage, parent, "data")?;
    let child_disk = small_disk(stage, child, "data")?;
    for at in [parent, child] {
        stage.configure(at, "idle_head_seconds = 5\n", &format!("idle_head_seconds = 5\ndisk_reserve_mib = {RESERVE_MIB}\n"))?;
    }
    stage.tree.start().await?;
    let mut recorder = Recorder::start(stage, &SOURCES)?;
    recorder.until_more(200).await?;

    // Room for what is written meanwhile, and less than half of the reserve.
    parent_disk.fill((RESERVE_MIB << 20) * 2 / 3)?;
    child_disk.fill((RESERVE_MIB << 20) / 3)?;
    let is_low = |kind: &AlarmKind| matches!(kind, AlarmKind::DiskLow { .. });
    let is_full = |kind: &AlarmKind| matches!(kind, AlarmKind::DiskFull { .. });
    for (at, is_it) in [(parent, &is_low as &dyn Fn(&AlarmKind) -> bool), (child, &is_full)] {
        until(&format!("site {} raises the alarm about its disk", at.0), async || {
            Ok(stage.status(at).await?.alarms.iter().any(|alarm| is_it(&alarm.kind)).then_some(()))
        })
        .await?;
    }
    ensure_entry_is_refused(stage, child).await?;
    until("the child waits for its parent", async || {
        let status = stage.status(place(DISTRICT, stage.tree.leader(SiteId(DISTRICT)).await?.0)).await?;
        Ok(status.streams.iter().any(|stream| stream.origin == DISTRICT && stream.lag_batches.is_some_and(|lag| lag > 10)).then_some(()))
    })
    .await?;
    recorder.until_more(100).await?;
    ensure!(stage.runs(parent) && stage.runs(child), "a node ended although it had room");

    parent_disk.make_room()?;
    child_disk.make_room()?;
    for at in [parent, child] {
        until("the alarm ends by itself", async || {
            Ok((!stage.status(at).await?.alarms.iter().any(|alarm| is_of_disk(&alarm.kind))).then_some(()))
        })
        .await?;
    }
    recorder.enter(&client_of(stage, child)?, DISTRICT, &People::new("after", BIEN_HOA.commune), 0..1).await?;
    recorder.conclude(stage, &stage.places()).await
}

/// A follower's log finds no room in the middle of a write: the node stops, the site goes on; with room it comes back.
///
/// # Errors
/// Whatever is broken.
pub async fn log_disk_full(stage: &mut Stage) -> anyhow::Result<Recorded> {
    full_in_the_middle(stage, "data/consensus", Victim::Follower).await
}

/// The leader's state finds no room in the middle of a flush: the node stops, another leads; with room it comes back.
///
/// # Errors
/// Whatever is broken.
pub async fn state_disk_full(stage: &mut Stage) -> anyhow::Result<Recorded> {
    full_in_the_middle(stage, "data/warehouse", Victim::Leader).await
}

/// The node whose disk is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Leader,
    Follower,
}

async fn full_in_the_middle(stage: &mut Stage, folder: &str, victim: Victim) -> anyhow::Result<Recorded> {
    let nodes: Vec<Place> = stage.places().into_iter().filter(|at| at.0 == SiteId(DISTRICT)).collect();
    let mut disks = Vec::new();
    for at in &nodes {
        // No reserve: the disk is to be full before the node detects it. Small buffers, so that the state is flushed often.
        stage.configure(*at, "idle_head_seconds = 5\n", "idle_head_seconds = 5\ndisk_reserve_mib = 0\n")?;
        stage.configure(*at, "write_buffer_mib = 64", "write_buffer_mib = 2")?;
        disks.push((*at, small_disk(stage, *at, folder)?));
    }
    stage.tree.start().await?;
    let mut recorder = Recorder::start(stage, &SOURCES)?;
    recorder.until_more(200).await?;

    let leader = stage.tree.leader(SiteId(DISTRICT)).await?;
    let (at, disk) = disks.iter().find(|((_, node), _)| (*node == leader) == (victim == Victim::Leader)).expect("a site of three");
    disk.fill(64 << 10)?;
    // Large requests beside the small ones, through the other nodes: there is something to write.
    let urls: Vec<String> = nodes.iter().filter(|other| *other != at).map(|(site, node)| stage.tree.url(*site, *node)).collect();
    let client = stage.tree.client(&urls, &format!("client-{DISTRICT}"))?;
    let people = People::new("bulk", BIEN_HOA.commune);
    let filled_at = Instant::now();
    let mut batches = 0;
    while batches < BULK_BATCHES_MAX && stage.status(*at).await.is_ok() {
        recorder.enter(&client, DISTRICT, &people, batches * BULK_ROWS..(batches + 1) * BULK_ROWS).await?;
        batches += 1;
    }
    eprintln!("after {batches} large requests and {:.1} s the node answers no more", filled_at.elapsed().as_secs_f64());
    // It gives requests under way some seconds before it ends.
    until(&format!("the node whose {folder} finds no room ends"), async || Ok((!stage.runs(*at)).then_some(()))).await?;
    eprintln!("after {:.1} s it has ended", filled_at.elapsed().as_secs_f64());
    let process = stage.tree.process(at.0, at.1).expect("it was started");
    let (ended, log) = (process.ended(), process.log());
    ensure!(ended.is_some_and(|status| status.code() == Some(1)), "a node without room ends with code 1, not with {ended:?}");
    ensure!(
        log.contains("No space left on device"),
        "the node does not name the reason why it ended; its log ends:\n{}",
        process.log_tail()
    );
    recorder.until_more(200).await?;

    disk.make_room()?;
    stage.tree.start_node(at.0, at.1)?;
    stage.until_takes_part(*at).await?;
    recorder.until_more(200).await?;
    recorder.conclude(stage, &stage.places()).await
}

fn is_of_disk(kind: &AlarmKind) -> bool {
    matches!(kind, AlarmKind::DiskLow { .. } | AlarmKind::DiskFull { .. })
}

/// Before the node is started.
fn small_disk(stage: &Stage, at: Place, folder: &str) -> anyhow::Result<SmallDisk> {
    let disk = SmallDisk::at(&stage.tree.node_dir(at.0, at.1).join(folder), DISK_BYTES)?;
    stage.tree.take_data_folder(at.0, at.1)?;
    Ok(disk)
}

fn client_of(stage: &Stage, at: Place) -> anyhow::Result<NodeClient> {
    stage.tree.client(&[stage.tree.url(at.0, at.1)], &format!("client-{}", at.0))
}

/// As an operator sees it: `kho import` through this node alone names the disk.
async fn ensure_entry_is_refused(stage: &Stage, at: Place) -> anyhow::Result<()> {
    let entering = client_of(stage, at)?;
    let refused = People::new("refused", BIEN_HOA.commune);
    match entering.enter_once(refused.batch(0..1)).await {
        Err(CallError::Refused { status: 503, problem }) => {
            ensure!(
                problem.code == "disk_full" && problem.message.contains("MiB are free") && problem.retry_after_ms.is_some(),
                "the refusal does not say that the disk is full: {problem:?}"
            );
            Ok(())
        }
        other => anyhow::bail!("a node below its reserve answered {other:?}"),
    }
}
