//! Holds back the purge of the log while a received log snapshot is being installed.
//!
//! openraft hands the snapshot to the state machine's task and purges the log at once. A crash in between would leave a log
//! that starts behind the state. So the purge waits here until the new state is durable.

use tokio::sync::watch;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Door {
    Open,
    Installing,
    /// The state machine could not install; the log must stay as it is and the node stops.
    Failed(String),
}

/// Shared by the receiver of snapshots, the state machine and the log.
#[derive(Debug, Clone)]
pub(super) struct InstallGate {
    door: watch::Sender<Door>,
}

/// While it lives, the log is not purged, unless [`InstallGate::passed`] or [`InstallGate::failed`] decided it earlier.
#[derive(Debug)]
pub(super) struct Installation {
    gate: InstallGate,
}

impl InstallGate {
    pub fn open() -> Self {
        Self { door: watch::Sender::new(Door::Open) }
    }

    /// To be called BEFORE a snapshot is handed to openraft.
    pub fn close(&self) -> Installation {
        self.door.send_if_modified(|door| {
            let open = *door == Door::Open;
            if open {
                *door = Door::Installing;
            }
            open
        });
        Installation { gate: self.clone() }
    }

    /// The snapshot is durable.
    pub fn passed(&self) {
        self.door.send_replace(Door::Open);
    }

    pub fn failed(&self, why: &str) {
        self.door.send_replace(Door::Failed(why.to_owned()));
    }

    /// Waits until no installation is under way.
    ///
    /// # Errors
    /// Why an installation failed.
    pub async fn wait(&self) -> Result<(), String> {
        let mut door = self.door.subscribe();
        // The sender lives in `self`, so the wait can't end for want of one.
        match door.wait_for(|door| *door != Door::Installing).await.as_deref() {
            Ok(Door::Failed(why)) => Err(why.clone()),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        self.gate.door.send_if_modified(|door| {
            let undecided = *door == Door::Installing;
            if undecided {
                *door = Door::Open;
            }
            undecided
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn the_log_is_not_purged_before_a_received_snapshot_is_durable() {
        let gate = InstallGate::open();
        assert_eq!(gate.wait().await, Ok(()));
        let installation = gate.close();
        assert!(timeout(Duration::from_millis(20), gate.wait()).await.is_err());
        gate.passed();
        assert_eq!(gate.wait().await, Ok(()));
        drop(installation);
    }

    #[tokio::test]
    async fn the_log_is_never_purged_for_a_snapshot_that_could_not_be_installed() {
        let gate = InstallGate::open();
        let installation = gate.close();
        gate.failed("disk full");
        drop(installation);
        assert_eq!(gate.wait().await, Err("disk full".into()));
    }
}
