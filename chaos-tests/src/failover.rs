//! How long a site takes no writes after its leader is killed: from the kill to the next acknowledged write.
//!
//! Writers enter single rows through every node all the time. Only a write that was *begun* after the process was dead counts: one
//! that was under way may have been committed by the dead leader. Every row is entered until it is acknowledged, so in the end
//! the site must hold exactly as many (promises 1 and 3).

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use kho_local_tree::{PlannedSite, TreePlan};
use kho_ops::client::NodeClient;
use kho_storage::ids::{SiteId, Tier};
use serde::Serialize;
use tokio::task::JoinHandle;

use crate::{
    people::People,
    place::Place,
    stage::Stage,
    wait::{TIMEOUT, until},
};

/// A write is wanted within this time in all but one of 300 rounds.
pub const BOUND: Duration = Duration::from_secs(2);
const ROUNDS_PER_EXCEPTION: usize = 300;
const SITE: SiteId = SiteId(1);
const ORIGIN: u32 = 1;
const WRITERS_PER_NODE: usize = 2;
/// An attempt without an answer is given up and begun anew, at the same node and under the same key.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(600);
const PAUSE: Duration = Duration::from_millis(10);
/// Rounds begin at all phases of the site's timers.
const REST_MS_MAX: u64 = 500;

/// What the rounds came to.
#[derive(Debug, Clone, Serialize)]
pub struct FailoverReport {
    pub rounds: usize,
    /// In the order of the rounds.
    pub times_ms: Vec<u64>,
    pub p50_ms: u64,
    pub p90_ms: u64,
    pub p99_ms: u64,
    pub max_ms: u64,
    pub bound_ms: u64,
    pub over_bound: usize,
    pub over_bound_max: usize,
    /// Rows acknowledged while leaders were killed; the site holds exactly these.
    pub rows: u64,
    pub holds: bool,
}

/// A tree of one site of `nodes` nodes, which enters the district 731.
pub fn plan(nodes: u64) -> TreePlan {
    TreePlan { tree: "failover".into(), sites: vec![PlannedSite::new(SITE.0, "Huyện", Tier::District, &[], nodes).with_area("731")] }
}

/// Kills the leader `rounds` times and measures. `report_round` receives the time of each round.
///
/// # Errors
/// When a write never comes through again, or an acknowledged row is missing or doubled afterwards.
pub async fn measure(stage: &mut Stage, rounds: usize, mut report_round: impl FnMut(usize, Duration)) -> anyhow::Result<FailoverReport> {
    ensure!(rounds > 0, "no round is to be played");
    stage.tree.start().await?;
    let writers = Writers::start(stage)?;
    until("the first row is acknowledged", async || Ok((writers.acknowledged() > 0).then_some(()))).await?;
    let mut times = Vec::with_capacity(rounds);
    for round in 0..rounds {
        let time = play_round(stage, &writers).await.with_context(|| format!("round {}", round + 1))?;
        report_round(round + 1, time);
        times.push(time);
    }
    let rows = writers.end().await?;
    stage.until_equal(ORIGIN, rows, &stage.places()).await?;
    Ok(report(&times, rows))
}

async fn play_round(stage: &mut Stage, writers: &Writers) -> anyhow::Result<Duration> {
    let leader = (SITE, stage.tree.leader(SITE).await?);
    let killed_at = Instant::now();
    stage.kill(leader)?;
    writers.board.arm(Instant::now());
    let acknowledged_at = until("a write begun after the kill is acknowledged", async || Ok(writers.board.first())).await?;
    stage.tree.start_node(leader.0, leader.1)?;
    until_caught_up(stage, leader).await?;
    tokio::time::sleep(Duration::from_millis(rand::random_range(0..REST_MS_MAX))).await;
    Ok(acknowledged_at.duration_since(killed_at))
}

/// Waits until a restarted node stands where the leader stood when it came back.
async fn until_caught_up(stage: &Stage, back: Place) -> anyhow::Result<()> {
    let leader = (SITE, stage.tree.leader(SITE).await?);
    let wanted = stage.status(leader).await?.consensus.last_log;
    until("the restarted node has caught up", async || {
        let consensus = stage.status(back).await?.consensus;
        Ok((consensus.applied >= wanted && consensus.leader.is_some()).then_some(()))
    })
    .await
}

/// Judges the times of all rounds.
pub fn report(times: &[Duration], rows: u64) -> FailoverReport {
    let times_ms: Vec<u64> = times.iter().map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).collect();
    let mut sorted = times_ms.clone();
    sorted.sort_unstable();
    // Nearest rank: the smallest time that so many of a hundred do not pass.
    let percentile = |percent: usize| sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or(0);
    let over_bound = times.iter().filter(|time| **time > BOUND).count();
    let over_bound_max = times.len().div_ceil(ROUNDS_PER_EXCEPTION);
    FailoverReport {
        rounds: times.len(),
        p50_ms: percentile(50),
        p90_ms: percentile(90),
        p99_ms: percentile(99),
        max_ms: sorted.last().copied().unwrap_or(0),
        bound_ms: u64::try_from(BOUND.as_millis()).unwrap_or(u64::MAX),
        over_bound,
        over_bound_max,
        rows,
        holds: over_bound <= over_bound_max,
        times_ms,
    }
}

impl FailoverReport {
    /// A table for people.
    pub fn text(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["rounds", "p50", "p90", "p99", "longest", "over 2 s", "at most", "rows acknowledged"]);
        let ms = |time: u64| format!("{time} ms");
        table.add_row([
            self.rounds.to_string(),
            ms(self.p50_ms),
            ms(self.p90_ms),
            ms(self.p99_ms),
            ms(self.max_ms),
            self.over_bound.to_string(),
            self.over_bound_max.to_string(),
            self.rows.to_string(),
        ]);
        table.to_string()
    }
}

/// Where writers record acknowledgements.
#[derive(Debug, Default)]
struct Board(Mutex<RoundTimes>);

#[derive(Debug, Default)]
struct RoundTimes {
    /// Writes begun from here on count.
    since: Option<Instant>,
    first: Option<Instant>,
}

impl Board {
    fn arm(&self, since: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = RoundTimes { since: Some(since), first: None };
    }

    fn acknowledged(&self, begun: Instant, now: Instant) {
        let mut round = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if round.first.is_none() && round.since.is_some_and(|since| begun >= since) {
            round.first = Some(now);
        }
    }

    fn first(&self) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).first
    }
}

/// Entry through every node, all the time.
struct Writers {
    board: Arc<Board>,
    acknowledged: Arc<AtomicU64>,
    stopping: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Writers {
    fn start(stage: &Stage) -> anyhow::Result<Self> {
        let mut writers = Self { board: Arc::default(), acknowledged: Arc::default(), stopping: Arc::default(), tasks: vec![] };
        let numbers = Arc::new(AtomicU64::new(0));
        for url in stage.tree.urls(SITE) {
            for _ in 0..WRITERS_PER_NODE {
                let client = stage.tree.client(std::slice::from_ref(&url), &format!("client-{SITE}"))?;
                let others = stage.tree.client(&stage.tree.urls(SITE), &format!("client-{SITE}"))?;
                let task = write_on(
                    client,
                    others,
                    Arc::clone(&numbers),
                    Arc::clone(&writers.board),
                    Arc::clone(&writers.acknowledged),
                    Arc::clone(&writers.stopping),
                );
                writers.tasks.push(tokio::spawn(task));
            }
        }
        Ok(writers)
    }

    fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Ends after the rows under way; gives how many were acknowledged.
    async fn end(mut self) -> anyhow::Result<u64> {
        self.stopping.store(true, Ordering::Relaxed);
        for task in &mut self.tasks {
            tokio::time::timeout(TIMEOUT, task).await.context("a row was never acknowledged")?.context("a writer failed")?;
        }
        Ok(self.acknowledged())
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn write_on(
    client: NodeClient,
    others: NodeClient,
    numbers: Arc<AtomicU64>,
    board: Arc<Board>,
    acknowledged: Arc<AtomicU64>,
    stopping: Arc<AtomicBool>,
) {
    let people = People::new("failover", "25993");
    while !stopping.load(Ordering::Relaxed) {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let batch = people.batch(number..number + 1);
        loop {
            let begun = Instant::now();
            // Once all is to end, the node of this writer may be down: then any will do.
            let through = if stopping.load(Ordering::Relaxed) { &others } else { &client };
            if let Ok(Ok(_)) = tokio::time::timeout(ATTEMPT_TIMEOUT, through.enter(batch.clone())).await {
                board.acknowledged(begun, Instant::now());
                acknowledged.fetch_add(1, Ordering::Relaxed);
                break;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(ms: &[u64]) -> Vec<Duration> {
        ms.iter().map(|ms| Duration::from_millis(*ms)).collect()
    }

    #[test]
    fn one_of_300_rounds_may_be_over_the_bound_and_no_more() {
        let mut rounds = vec![1_000; 299];
        rounds.push(2_001);
        assert!(report(&times(&rounds), 0).holds);
        rounds[0] = 2_001;
        assert!(!report(&times(&rounds), 0).holds);
        rounds.push(1_000);
        assert!(report(&times(&rounds), 0).holds, "the 301st round begins the next 300");
    }

    #[test]
    fn percentiles_are_times_that_occurred() {
        let report = report(&times(&(1..=100).collect::<Vec<_>>()), 7);
        assert_eq!((report.p50_ms, report.p90_ms, report.p99_ms, report.max_ms), (50, 90, 99, 100));
        let single = super::report(&times(&[5]), 0);
        assert_eq!((single.p50_ms, single.p99_ms), (5, 5));
    }

    #[test]
    fn only_a_write_begun_after_the_kill_counts() {
        let board = Board::default();
        let before = Instant::now();
        let killed = before + Duration::from_millis(10);
        board.arm(killed);
        board.acknowledged(before, killed + Duration::from_millis(5));
        assert_eq!(board.first(), None);
        let first = killed + Duration::from_millis(900);
        board.acknowledged(killed, first);
        board.acknowledged(killed, first + Duration::from_secs(1));
        assert_eq!(board.first(), Some(first));
    }
}
