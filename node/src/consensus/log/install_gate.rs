//! Holds back the purge of the log while a received log snapshot is being installed.
//!
//! openraft hands the snapshot to the state machine's task and purges the log at once. A crash in between would leave a log
//! that starts behind the state. So the purge waits here until the new state is durable.
//!
//! A purge that openraft was already doing, or was told to do by the log keeper, must not wait: openraft's one task would never come to
//! the snapshot for which it waits. Such a purge ends where the state on disk has applied the log, and so it is told apart.
//!
//! Invariants: no entry is purged that the state on disk lacks (test `the_log_is_not_purged_before_a_received_snapshot_is_durable`); what
//! the state on disk has is purged without waiting (test `a_purge_of_what_the_state_on_disk_has_never_waits_for_a_snapshot`).

use tokio::sync::watch;

#[derive(Debug, Clone, PartialEq, Eq)]
enum GateState {
    Open,
    Installing,
    /// The state machine could not install; the log must stay as it is and the node stops.
    Failed(String),
}

/// Shared by the receiver of snapshots, the state machine and the log store.
#[derive(Debug, Clone)]
pub struct InstallGate {
    state: watch::Sender<GateState>,
}

/// While it lives, the log is not purged, unless [`InstallGate::passed`] or [`InstallGate::failed`] decided it earlier.
#[derive(Debug)]
pub struct Installation {
    gate: InstallGate,
}

impl InstallGate {
    pub fn open() -> Self {
        Self { state: watch::Sender::new(GateState::Open) }
    }

    /// To be called BEFORE a snapshot is handed to openraft.
    ///
    /// # Panics
    /// When an installation is under way: snapshots are received one at a time.
    pub fn close(&self) -> Installation {
        self.state.send_if_modified(|state| {
            assert!(*state != GateState::Installing, "a second log snapshot is being installed");
            let open = *state == GateState::Open;
            if open {
                *state = GateState::Installing;
            }
            open
        });
        Installation { gate: self.clone() }
    }

    /// The snapshot is durable.
    pub fn passed(&self) {
        self.state.send_replace(GateState::Open);
    }

    pub fn failed(&self, why: &str) {
        self.state.send_replace(GateState::Failed(why.to_owned()));
    }

    /// Waits until no installation is under way, unless the state on disk `has_all` that is to be purged.
    ///
    /// # Errors
    /// Why an installation failed.
    pub async fn wait(&self, has_all: impl FnOnce() -> bool) -> Result<(), String> {
        let installs = *self.state.borrow() == GateState::Installing;
        if installs && has_all() {
            return Ok(());
        }
        let mut state = self.state.subscribe();
        // The sender lives in `self`, so the wait can't end for want of one.
        match state.wait_for(|state| *state != GateState::Installing).await.as_deref() {
            Ok(GateState::Failed(why)) => Err(why.clone()),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        self.gate.state.send_if_modified(|state| {
            let undecided = *state == GateState::Installing;
            if undecided {
                *state = GateState::Open;
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
        assert_eq!(gate.wait(|| false).await, Ok(()));
        let installation = gate.close();
        assert!(timeout(Duration::from_millis(20), gate.wait(|| false)).await.is_err());
        gate.passed();
        assert_eq!(gate.wait(|| false).await, Ok(()));
        drop(installation);
    }

    /// openraft's task, which does the purge, is the one that would take the snapshot.
    #[tokio::test]
    async fn a_purge_of_what_the_state_on_disk_has_never_waits_for_a_snapshot() {
        let gate = InstallGate::open();
        let installation = gate.close();
        assert_eq!(timeout(Duration::from_secs(5), gate.wait(|| true)).await, Ok(Ok(())));
        assert!(timeout(Duration::from_millis(20), gate.wait(|| false)).await.is_err(), "the snapshot's own purge");
        drop(installation);
        assert_eq!(gate.wait(|| false).await, Ok(()));
    }

    #[tokio::test]
    async fn the_log_is_never_purged_for_a_snapshot_that_could_not_be_installed() {
        let gate = InstallGate::open();
        let installation = gate.close();
        gate.failed("disk full");
        drop(installation);
        assert_eq!(gate.wait(|| true).await, Err("disk full".into()));
    }
}
