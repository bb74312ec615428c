//! Watches openraft and the disk: who leads, whether that leader may act, and why this node can't go on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    log::LogTail,
    peers::Peers,
    status::{self, Leadership},
    types::Raft,
};

/// How often a leader that is ready is checked for the acknowledgement of a majority.
const READINESS_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Reports who leads, and why this node can't go on once that is so.
pub(super) async fn watch_leadership(
    raft: Raft,
    log_tail: Arc<LogTail>,
    peers: Arc<Peers>,
    leadership_sender: watch::Sender<Leadership>,
    failure_sender: watch::Sender<Option<String>>,
) {
    // All metrics change with every entry; those of the server only when a leader, a term or the members change.
    let (mut all, mut server) = (raft.metrics(), raft.server_metrics());
    let mut stalls = false;
    loop {
        server.mark_unchanged();
        stalls = report_stall(stalls, log_tail.stalled_for(Instant::now()));
        let (mut leadership, failure) = {
            let metrics = all.borrow_and_update();
            (status::leadership(&metrics), status::failure(&metrics))
        };
        // openraft waits for the disk too, and goes on calling itself the leader meanwhile.
        leadership.ready &= !stalls && peers.leading().may_lead();
        leadership_sender.send_if_modified(|sent| std::mem::replace(sent, leadership) != leadership);
        if failure.is_some() {
            failure_sender.send_replace(failure);
            return;
        }
        let not_ready_yet = leadership.is_self && !leadership.ready;
        let runs = tokio::select! {
            changed = all.changed(), if not_ready_yet => changed.is_ok(),
            changed = server.changed() => changed.is_ok(),
            () = tokio::time::sleep(READINESS_POLL_INTERVAL) => true,
            failed = log_tail.until_write_failed() => {
                failure_sender.send_replace(Some(failed.to_string()));
                return;
            }
        };
        if !runs {
            // openraft has ended and said why.
            failure_sender.send_replace(status::failure(&raft.metrics().borrow()));
            return;
        }
    }
}

/// Logs for the operator when the disk begins to stall and when that is over. Whether it is stalled.
fn report_stall(stalled_before: bool, stalled_for: Option<Duration>) -> bool {
    match (stalled_before, stalled_for) {
        (false, Some(stalled)) => tracing::error!(
            ?stalled,
            "the disk takes no write to the log; this node leads and agrees to nothing until it does: check the disk"
        ),
        (true, None) => tracing::info!("the disk takes writes to the log again"),
        _ => {}
    }
    stalled_for.is_some()
}
