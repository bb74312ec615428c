//! The medians of several runs of the same measurements, and how far the runs lie apart.

use serde_json::Value;

use crate::{
    figure::Figure,
    outcome::{Bounds, Outcome, PeerFigure, Spread},
};

/// The medians of runs that measured the same in the same order. One run stays as it is.
pub fn medians(runs: Vec<Vec<Outcome>>) -> Vec<Outcome> {
    let mut by_target: Vec<Vec<Outcome>> = Vec::new();
    for run in runs {
        by_target.resize_with(by_target.len().max(run.len()), Vec::new);
        for (place, outcome) in run.into_iter().enumerate() {
            by_target[place].push(outcome);
        }
    }
    by_target.into_iter().filter_map(join).collect()
}

/// One line out of the same line of several runs.
fn join(mut runs: Vec<Outcome>) -> Option<Outcome> {
    if runs.len() < 2 {
        return runs.pop();
    }
    let first = runs.first()?;
    let (target, unit, peer_name) = (first.target, first.kho.unit, first.peer.map(|peer| peer.name));
    let kho: Vec<f64> = runs.iter().map(|run| run.kho.value).collect();
    let peer: Vec<f64> = runs.iter().filter_map(|run| run.peer).map(|peer| peer.figure.value).collect();
    let ratios: Vec<f64> = runs.iter().filter_map(Outcome::ratio).collect();
    let spread = Spread { runs: runs.len(), kho: bounds(&kho)?, peer: bounds(&peer), ratio: bounds(&ratios) };
    let peer = peer_name.zip(median(&peer)).map(|(name, value)| PeerFigure { name, figure: Figure::new(value, unit) });
    let notes: Vec<String> =
        runs.iter().zip(1..).filter_map(|(run, number)| Some(format!("run {number}: {}", run.note.as_ref()?))).collect();
    Some(Outcome {
        target,
        kho: Figure::new(median(&kho)?, unit),
        peer,
        details: Value::Array(runs.into_iter().map(|run| run.details).collect()),
        note: (!notes.is_empty()).then(|| notes.join("; ")),
        spread: Some(spread),
    })
}

/// The middle one, or the mean of the two in the middle.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

fn bounds(values: &[f64]) -> Option<Bounds> {
    let lowest = values.iter().copied().min_by(f64::total_cmp)?;
    Some([lowest, values.iter().copied().max_by(f64::total_cmp)?])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        figure::Unit,
        measure::{SITE_BATCHES, SITE_SINGLES, Target},
    };

    fn outcome(target: Target, kho: f64, peer: Option<f64>) -> Outcome {
        let figure = |value| Figure::new(value, Unit::RowsPerSecond);
        Outcome {
            target,
            kho: figure(kho),
            peer: peer.map(|value| PeerFigure { name: "etcd", figure: figure(value) }),
            details: json!(kho),
            note: Some(format!("{kho}")),
            spread: None,
        }
    }

    #[test]
    fn the_median_of_each_figure_counts_and_the_spread_covers_the_others() {
        let run = |kho, peer| vec![outcome(SITE_BATCHES, kho, Some(peer)), outcome(SITE_SINGLES, 1.0, None)];
        let joined = medians(vec![run(30.0, 10.0), run(10.0, 20.0), run(20.0, 8.0)]);
        assert_eq!(joined.len(), 2);
        assert_eq!((joined[0].kho.value, joined[0].peer.map(|peer| peer.figure.value), joined[0].ratio()), (20.0, Some(10.0), Some(2.0)));
        assert_eq!(joined[0].spread, Some(Spread { runs: 3, kho: [10.0, 30.0], peer: Some([8.0, 20.0]), ratio: Some([0.5, 3.0]) }));
        assert_eq!((&joined[0].details, joined[0].note.as_deref()), (&json!([30.0, 10.0, 20.0]), Some("run 1: 30; run 2: 10; run 3: 20")));
        assert_eq!((joined[1].peer, joined[1].spread.and_then(|spread| spread.ratio)), (None, None));
    }

    #[test]
    fn one_run_stays_as_it_is_and_of_two_the_mean_counts() {
        let one = vec![outcome(SITE_BATCHES, 30.0, Some(10.0))];
        assert_eq!(medians(vec![one.clone()]), one);
        assert_eq!(medians(vec![one.clone(), vec![outcome(SITE_BATCHES, 20.0, Some(10.0))]])[0].kho.value, 25.0);
        assert_eq!(medians(vec![]), []);
    }
}
