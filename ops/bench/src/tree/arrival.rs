//! Waiting until a row has arrived at the centre.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::tiers::Sight;

/// Between two queries for the same row.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// How long a row may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Queries the centre until it holds the row.
///
/// # Errors
/// When it never does, or can't be reached.
pub async fn wait_until_held(sight: &mut impl Sight, key: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    while !sight.holds(key).await? {
        ensure!(
            Instant::now() < deadline,
            "person {key} was committed at the district and has not arrived at the centre for {} s",
            TIMEOUT.as_secs()
        );
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}
