//! From a difference to the rows: compares buckets of keys, then the rows of the buckets that differ. The nodes answer with hashes under
//! a secret of this comparison, which they hand to each other in tokens that only they open.

use futures::future::try_join_all;
use kho_node::api::ComparedNode;
use kho_storage::ids::OriginId;

use super::{
    compare::{RowDifference, differing_buckets, differing_rows},
    proofs::SiteView,
    report::SiteToken,
};
use crate::client::CallError;

/// Buckets that are opened; each asks every site for a two-hundred-and-fifty-sixth of the origin.
const BUCKETS_MAX: usize = 16;

/// Rows found, and what to know about them.
#[derive(Debug, Default)]
pub struct Drilled {
    pub rows: Vec<RowDifference>,
    pub tokens: Vec<SiteToken>,
    pub notes: Vec<String>,
}

/// Finds the rows of `origin` that `views` hold differently, at most `rows_max`.
pub async fn drill(views: &[&SiteView], origin: OriginId, rows_max: usize) -> Result<Drilled, CallError> {
    let mut drilled = Drilled::default();
    let places = views
        .iter()
        .map(|view| view.status.streams.iter().find(|stream| stream.origin == origin.0).map(|stream| (stream.epoch.clone(), stream.seq)));
    let places: Vec<_> = places.collect();
    if places.iter().any(|place| *place != places[0]) {
        drilled.notes.push(format!("the nodes stand at different batches of origin {origin}: rows changed in between are listed too"));
    }
    let nodes = views.iter().map(|view| ComparedNode { site: view.status.site, node: view.status.node }).collect();
    let Some(first) = views.first() else { return Ok(drilled) };
    let tokens = first.client.begin_comparison(origin, nodes).await?;
    let at: Vec<_> = views.iter().zip(&tokens).collect();
    let buckets = try_join_all(at.iter().map(|(view, token)| view.client.buckets(origin, token))).await?;
    let differing = differing_buckets(&buckets);
    if differing.len() > BUCKETS_MAX {
        drilled
            .notes
            .push(format!("{} of 256 buckets of origin {origin} differ; the rows of the first {BUCKETS_MAX} are listed", differing.len()));
    }
    for bucket in differing.into_iter().take(BUCKETS_MAX) {
        let rows = try_join_all(at.iter().map(|(view, token)| view.client.bucket_rows(origin, bucket, token))).await?;
        let sites: Vec<_> = views.iter().map(|view| view.label.clone()).zip(rows).collect();
        drilled.rows.extend(differing_rows(origin, &sites));
        if drilled.rows.len() > rows_max {
            drilled.rows.truncate(rows_max);
            drilled.notes.push(format!("more rows of origin {origin} differ than the {rows_max} listed; give --rows-max"));
            break;
        }
    }
    if !drilled.rows.is_empty() {
        drilled.tokens = at.iter().map(|(view, token)| SiteToken { origin, site: view.label.clone(), token: (*token).clone() }).collect();
        drilled.notes.push(format!(
            "rows of origin {origin} are named by hashes of this comparison; who may read rows finds the key of one with `kho query hash`, by a token that --json gives"
        ));
    }
    Ok(drilled)
}
