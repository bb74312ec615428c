//! Tasks that run as long as their node. One that ends early, by an error of ours or by a panic, would leave a node that looks alive and
//! does a part of its work no more; so its end is told, and the node ends.
//!
//! Invariant: the end of a watched task before the stop is never silent (tests `a_task_that_returns_early_is_named`,
//! `a_task_that_panics_is_named`).

use std::fmt;

use tokio::{
    sync::watch,
    task::{JoinError, JoinHandle},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A watched task ended although the node was not stopping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskEnded {
    pub task: &'static str,
    /// What the panic said; `None` when the task returned.
    pub panic: Option<String>,
}

impl fmt::Display for TaskEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.panic {
            None => write!(f, "the task `{}` ended by itself", self.task),
            Some(said) => write!(f, "the task `{}` panicked: {said}", self.task),
        }
    }
}

/// Starts tasks, and knows the first that ended early.
#[derive(Debug)]
pub struct TaskWatch {
    stopping: CancellationToken,
    running: TaskTracker,
    ended: watch::Sender<Option<TaskEnded>>,
}

impl TaskWatch {
    /// Watches tasks until `stopping` is cancelled; from then on they may end.
    pub fn new(stopping: CancellationToken) -> Self {
        Self { stopping, running: TaskTracker::new(), ended: watch::Sender::new(None) }
    }

    /// Starts `task`, which returns only once the stop has begun. [`Self::join`] waits for it.
    pub fn spawn(&self, task: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.watch(task, self.running.spawn(work));
    }

    /// Watches a task that runs already and may outlive the stop for a while.
    pub fn watch(&self, task: &'static str, running: JoinHandle<()>) {
        let (stopping, ended) = (self.stopping.clone(), self.ended.clone());
        tokio::spawn(async move {
            let panic = match running.await {
                Ok(()) if stopping.is_cancelled() => return,
                Ok(()) => None,
                Err(error) => Some(said(error)),
            };
            let end = TaskEnded { task, panic };
            tracing::error!(%end, "a task of the node ended early");
            ended.send_if_modified(|first| {
                let is_first = first.is_none();
                first.get_or_insert(end);
                is_first
            });
        });
    }

    /// Starts `task`, which is dropped when the stop begins.
    pub fn spawn_until_stop(&self, task: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.stopping.clone();
        self.spawn(task, async move {
            // A task that was dropped has nothing left to say.
            let _ = stopping.run_until_cancelled(work).await;
        });
    }

    /// Resolves when a task has ended early; never, when none does.
    pub async fn first_ended(&self) -> TaskEnded {
        let mut ended = self.ended.subscribe();
        match ended.wait_for(Option::is_some).await.map(|end| end.clone()) {
            Ok(Some(end)) => end,
            // The sender lives in `self`.
            _ => std::future::pending().await,
        }
    }

    /// Waits until every task that was started here has ended.
    pub async fn join(&self) {
        self.running.close();
        self.running.wait().await;
    }
}

/// What a panic said.
fn said(error: JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else { return "it was aborted".into() };
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no text".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_returns_early_is_named() {
        let tasks = TaskWatch::new(CancellationToken::new());
        tasks.spawn("one that goes on", std::future::pending());
        tasks.spawn("one that returns", async {});
        assert_eq!(tasks.first_ended().await, TaskEnded { task: "one that returns", panic: None });
    }

    #[tokio::test]
    async fn a_task_that_panics_is_named() {
        let tasks = TaskWatch::new(CancellationToken::new());
        tasks.spawn_until_stop("one that panics", async { panic!("sums differ by {}", 3) });
        let end = tasks.first_ended().await;
        assert_eq!(end.to_string(), "the task `one that panics` panicked: sums differ by 3");
    }

    #[tokio::test]
    async fn tasks_may_end_once_the_stop_has_begun() {
        let stopping = CancellationToken::new();
        let tasks = TaskWatch::new(stopping.clone());
        let stop = stopping.clone();
        tasks.spawn("one that waits for the stop", async move { stop.cancelled().await });
        tasks.spawn_until_stop("one that never ends", std::future::pending());
        stopping.cancel();
        tasks.join().await;
        assert_eq!(*tasks.ended.borrow(), None);
    }
}
