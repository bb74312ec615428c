//! What a system is for these measurements: tiers, a way in at the district, a view of the centre.

use crate::persons::PersonBatch;

/// Tiers through which rows travel.
pub trait Tree {
    type Entry: Entry;
    type Sight: Sight;

    /// Shuts every node down in good order and starts it again.
    async fn restart(&mut self) -> anyhow::Result<()>;

    /// A session at the district.
    async fn entry(&self) -> anyhow::Result<Self::Entry>;

    /// A session at the centre.
    async fn sight(&self) -> anyhow::Result<Self::Sight>;
}

/// Where rows go in.
pub trait Entry: Send + 'static {
    /// Enters a batch as a whole; returns once the district has committed it.
    fn enter(&mut self, batch: &PersonBatch) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Where rows have to arrive.
pub trait Sight {
    /// Whether the person with this key is there.
    async fn holds(&mut self, key: &str) -> anyhow::Result<bool>;

    /// All persons that are there.
    async fn rows(&mut self) -> anyhow::Result<u64>;
}
