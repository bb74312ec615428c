//! Has nodes recompute what they hold, showing how far each is.

use futures::future::try_join_all;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use kho_node::api::StatusReport;
use kho_storage::ids::OriginId;

use super::report::SiteProof;
use crate::{
    client::{CallError, NodeClient},
    commands::print::grouped,
    failure::Failure,
};

/// A node and what it said of itself.
pub struct SiteView {
    pub client: NodeClient,
    /// Name of site and node, as reports show it.
    pub label: String,
    pub status: StatusReport,
}

impl SiteView {
    pub async fn query(client: NodeClient) -> Result<Self, CallError> {
        let status = client.status().await?;
        let label = format!("{} (site {} node {})", status.site_name, status.site, status.node);
        Ok(Self { client, label, status })
    }

    /// Asks again, since a site moves on while it is verified.
    pub async fn refresh(&mut self) -> Result<(), CallError> {
        self.status = self.client.status().await?;
        Ok(())
    }

    /// Origins held here, of those wanted; none named means all.
    pub fn origins(&self, wanted: &[OriginId]) -> Vec<OriginId> {
        let held = self.status.streams.iter().filter(|stream| stream.seq > 0).map(|stream| OriginId(stream.origin));
        held.filter(|origin| wanted.is_empty() || wanted.contains(origin)).collect()
    }
}

/// Proofs of every wanted origin at every node: nodes at the same time, origins of a node one after another.
pub async fn prove(views: &[SiteView], wanted: &[OriginId]) -> Result<Vec<SiteProof>, Failure> {
    let bars = MultiProgress::new();
    let proofs = try_join_all(views.iter().map(|view| prove_site(view, wanted, bars.add(ProgressBar::no_length())))).await?;
    Ok(proofs.into_iter().flatten().collect())
}

async fn prove_site(view: &SiteView, wanted: &[OriginId], bar: ProgressBar) -> Result<Vec<SiteProof>, Failure> {
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style);
    bar.set_prefix(view.label.clone());
    let mut proofs = Vec::new();
    for origin in view.origins(wanted) {
        let progress = |done: u64, total: u64| {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(format!("origin {origin}: {} of {} rows", grouped(done), grouped(total)));
        };
        // A stream that was given up meanwhile has nothing to prove.
        if let Some(proof) = view.client.proof(origin, progress).await? {
            proofs.push(SiteProof { site: view.label.clone(), holds: proof.holds(), proof });
        }
    }
    bar.finish_and_clear();
    Ok(proofs)
}
