//! One measurement after another, as they are wanted.

use crate::{
    backlog::measure_backlog,
    idle::measure_idle_children,
    measure::Measure,
    medians::medians,
    observation::Observation,
    outcome::Outcome,
    progress,
    recovery::measure_recovery,
    site::measure_site,
    tree::{measure_growth, measure_tree},
    workbench::Workbench,
};

/// Everything that was measured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    pub outcomes: Vec<Outcome>,
    pub observations: Vec<Observation>,
}

/// Runs everything that is wanted, one system after another; what has a goal as often as it is wanted, so that Kho and its
/// peer take turns.
///
/// # Errors
/// The first that could not be run.
pub async fn measure(bench: &mut Workbench) -> anyhow::Result<Measured> {
    let mut runs = Vec::new();
    if bench.wanted.measures.iter().any(|measure| !measure.is_long()) {
        for run in 1..=bench.wanted.runs {
            if bench.wanted.runs > 1 {
                progress::begin(format_args!("Run {run} of {}", bench.wanted.runs));
            }
            bench.begin_run(run)?;
            let mut outcomes = measure_site(bench).await?;
            outcomes.extend(measure_tree(bench).await?);
            runs.push(outcomes);
            bench.end()?;
        }
    }
    Ok(Measured { outcomes: medians(runs), observations: observe(bench).await? })
}

/// What has no goal.
async fn observe(bench: &mut Workbench) -> anyhow::Result<Vec<Observation>> {
    let mut observations = Vec::new();
    if bench.wants(Measure::Start) || bench.wants(Measure::Join) {
        bench.begin("recovery")?;
        observations.extend(measure_recovery(bench).await?);
        bench.end()?;
    }
    if bench.wants(Measure::Backlog) {
        bench.begin("backlog")?;
        observations.push(measure_backlog(bench).await?);
        bench.end()?;
    }
    if bench.wants(Measure::IdleChildren) {
        bench.begin("idle")?;
        observations.push(measure_idle_children(bench).await?);
        bench.end()?;
    }
    if bench.wants(Measure::Growth) {
        bench.begin("growth")?;
        observations.push(measure_growth(bench).await?);
        bench.end()?;
    }
    Ok(observations)
}
