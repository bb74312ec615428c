//! Many histories of one site under disturbance, each judged.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use kho_local_tree::TreePlan;
use kho_storage::ids::SiteId;
use rand::{RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::{
    clients::{ReadMode, RegisterClients},
    disturbance::Disturbance,
    judge::judge,
};
use crate::{
    place::Place,
    stage::Stage,
    trees::{self, BIEN_HOA, DISTRICT},
};

/// A history has at least so many calls.
pub const CALLS_MIN: usize = 200;
/// Each fault meets at least so many calls. Clients of a node that is down for long note few.
const MET_MIN: usize = 3;
const SITE: SiteId = SiteId(DISTRICT);
/// Reports name no more histories than these.
const FINDINGS_MAX: usize = 10;

/// What the histories came to.
#[derive(Debug, Clone, Serialize)]
pub struct LinearizabilityReport {
    pub seed: u64,
    pub histories: usize,
    pub calls: usize,
    /// Calls of the smallest history.
    pub calls_min: usize,
    /// The most calls under way at one moment, in the history where that was least.
    pub concurrency_min: usize,
    /// Calls that ended after the site was disturbed, in the history where those were fewest.
    pub met_min: usize,
    /// Writes whose outcome is unknown.
    pub unanswered_writes: usize,
    pub disturbances: BTreeMap<Disturbance, usize>,
    pub not_linearizable: usize,
    /// The first of them, with the calls that no order explains.
    pub findings: Vec<String>,
    pub holds: bool,
}

/// A site of three that authors a district.
pub fn plan() -> TreePlan {
    trees::plan(vec![trees::district(DISTRICT, &BIEN_HOA, &[], 3)])
}

/// Records and judges so many histories; `report_history` is called after each. Rows are read as `read` says.
///
/// # Errors
/// When the site never answers again after a disturbance.
pub async fn measure(
    stage: &mut Stage,
    histories: usize,
    seed: u64,
    read: ReadMode,
    mut report_history: impl FnMut(usize, Disturbance),
) -> anyhow::Result<LinearizabilityReport> {
    let links = stage.links_before(SITE, seed)?;
    stage.tree.start().await?;
    let clients = RegisterClients::of_site(stage, SITE, BIEN_HOA.commune, read)?;
    let nodes = stage.places();
    let calls_per_client = CALLS_MIN.div_ceil(nodes.len() * super::clients::CLIENTS_PER_NODE);
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut report = LinearizabilityReport {
        seed,
        histories,
        calls: 0,
        calls_min: usize::MAX,
        concurrency_min: usize::MAX,
        met_min: usize::MAX,
        unanswered_writes: 0,
        disturbances: BTreeMap::new(),
        not_linearizable: 0,
        findings: vec![],
        holds: true,
    };
    for number in 1..=histories {
        // The first histories meet every kind once, so that a short run does too.
        let disturbance = Disturbance::ALL.get(number - 1).copied().unwrap_or_else(|| Disturbance::drawn(&mut chance));
        let (name, calls_seed) = (format!("h{number}"), chance.next_u64());
        let (begun, over) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let disturb = async {
            let done = disturbance.play(stage, SITE, &links, &mut chance).await;
            over.store(true, Ordering::Relaxed);
            done
        };
        let (history, disturbed) = futures::future::join(clients.history(&name, calls_per_client, calls_seed, begun, &over), disturb).await;
        if let Some(at) = disturbed? {
            report.met_min = report.met_min.min(history.ending_after(at.saturating_duration_since(begun)));
        }
        report.calls += history.calls.len();
        report.calls_min = report.calls_min.min(history.calls.len());
        report.concurrency_min = report.concurrency_min.min(history.concurrency());
        report.unanswered_writes += history.unanswered();
        *report.disturbances.entry(disturbance).or_default() += 1;
        if let Err(error) = judge(&history) {
            report.not_linearizable += 1;
            report.holds = false;
            if report.findings.len() < FINDINGS_MAX {
                report.findings.push(format!("history {number}, {disturbance:?}: {error}"));
            }
        }
        report_history(number, disturbance);
        until_all_answer(stage, &nodes).await?;
    }
    // A fault that met few calls proves little.
    report.holds &= report.met_min >= MET_MIN;
    Ok(report)
}

/// Every node takes part again before the next history begins.
async fn until_all_answer(stage: &Stage, nodes: &[Place]) -> anyhow::Result<()> {
    for place in nodes {
        stage.until_ready(*place).await?;
    }
    Ok(())
}

impl LinearizabilityReport {
    /// For people.
    pub fn text(&self) -> String {
        let disturbances: Vec<String> = self.disturbances.iter().map(|(disturbance, times)| format!("{disturbance:?} {times}")).collect();
        let mut text = format!(
            "{} histories of at least {} calls, at least {} of them at once at some moment and {} after the site was disturbed; {} calls, {} writes unanswered\n{}\nnot linearizable: {}\n",
            self.histories,
            self.calls_min,
            self.concurrency_min,
            self.met_min,
            self.calls,
            self.unanswered_writes,
            disturbances.join(", "),
            self.not_linearizable
        );
        self.findings.iter().for_each(|finding| text.push_str(&format!("{finding}\n")));
        text
    }
}
