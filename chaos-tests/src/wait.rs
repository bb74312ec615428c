//! Waits until something has happened, and never without a bound.

use std::time::{Duration, Instant};

use anyhow::bail;

/// The longest time that anything may take that must happen. It is far beyond what an idle machine needs.
pub const TIMEOUT: Duration = Duration::from_secs(150);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Polls until `poll` gives a value. A poll that fails counts as one that gave none.
///
/// # Errors
/// When [`TIMEOUT`] is over. The message names what was waited for and the result of the last poll.
pub async fn until<T>(what: &str, mut poll: impl AsyncFnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let last = match poll().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => "not yet".to_string(),
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() > deadline {
            bail!("timed out after {} s waiting until {what}; the last poll: {last}", TIMEOUT.as_secs());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
