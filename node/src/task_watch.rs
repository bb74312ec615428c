//! Tasks that run as long as their node, and jobs that end by themselves. A task that ends early, by an error of ours or by a panic, would
//! leave a node that looks alive and does a part of its work no more; so would a job that panics, for somebody waits for what it brings.
//! So that end is told, and the node ends.
//!
//! Invariant: the end of a watched task before the stop is never silent, nor is the panic of a job (tests
//! `a_task_that_returns_early_is_named`, `a_task_that_panics_is_named`, `a_job_may_return_but_its_panic_is_named`).

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};

use futures::FutureExt as _;
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

/// Starts tasks and jobs, and knows the first that ended early. Clones share what they know.
#[derive(Debug, Clone)]
pub struct TaskWatch {
    stopping: CancellationToken,
    running: TaskTracker,
    ended: watch::Sender<Option<TaskEnded>>,
    /// The task or job that panics as soon as it starts. For tests alone.
    planted: Option<Arc<str>>,
}

impl TaskWatch {
    /// Watches tasks until `stopping` is cancelled; from then on they may end.
    pub fn new(stopping: CancellationToken) -> Self {
        Self { stopping, running: TaskTracker::new(), ended: watch::Sender::new(None), planted: None }
    }

    /// Has the task or job of this name panic as soon as it starts. For tests alone.
    #[must_use]
    pub fn with_panic_in(self, planted: Option<Arc<str>>) -> Self {
        Self { planted, ..self }
    }

    /// Starts `task`, which returns only once the stop has begun. [`Self::join`] waits for it.
    pub fn spawn(&self, task: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let planted = self.planted.clone();
        self.watch(
            task,
            self.running.spawn(async move {
                panic_if_planted(planted.as_deref(), task);
                work.await;
            }),
        );
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
            note(&ended, TaskEnded { task, panic });
        });
    }

    /// Starts a job that may return or be aborted at any time, but not panic. It may outlive the stop.
    pub fn job(&self, task: &'static str, work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let this = self.clone();
        tokio::spawn(async move { this.within(task, work).await })
    }

    /// Does a part of a task that somebody else started and nobody watches. A panic is noted, and goes on.
    pub async fn within<T>(&self, task: &'static str, work: impl Future<Output = T>) -> T {
        let work = async {
            panic_if_planted(self.planted.as_deref(), task);
            work.await
        };
        match AssertUnwindSafe(work).catch_unwind().await {
            Ok(done) => done,
            Err(panic) => {
                note(&self.ended, TaskEnded { task, panic: Some(text_of(panic.as_ref())) });
                resume_unwind(panic)
            }
        }
    }

    /// Starts a job that blocks its thread, see [`Self::job`].
    pub fn blocking_job(&self, task: &'static str, work: impl FnOnce() + Send + 'static) {
        let (ended, planted) = (self.ended.clone(), self.planted.clone());
        tokio::task::spawn_blocking(move || {
            let work = || {
                panic_if_planted(planted.as_deref(), task);
                work();
            };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                note(&ended, TaskEnded { task, panic: Some(text_of(panic.as_ref())) });
            }
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

fn panic_if_planted(planted: Option<&str>, task: &'static str) {
    assert!(planted != Some(task), "a test had it panic");
}

fn note(ended: &watch::Sender<Option<TaskEnded>>, end: TaskEnded) {
    tracing::error!(%end, "a task of the node ended early");
    ended.send_if_modified(|first| {
        let is_first = first.is_none();
        first.get_or_insert(end);
        is_first
    });
}

/// How a task that was watched ended without returning.
fn said(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => text_of(panic.as_ref()),
        Err(_) => "it was aborted".into(),
    }
}

/// What a panic said.
fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no text".into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Fails instead of waiting for ever when nothing is told.
    async fn first_ended(tasks: &TaskWatch) -> TaskEnded {
        timeout(Duration::from_secs(10), tasks.first_ended()).await.expect("the end is told")
    }

    #[tokio::test]
    async fn a_task_that_returns_early_is_named() {
        let tasks = TaskWatch::new(CancellationToken::new());
        tasks.spawn("one that goes on", std::future::pending());
        tasks.spawn("one that returns", async {});
        assert_eq!(first_ended(&tasks).await, TaskEnded { task: "one that returns", panic: None });
    }

    #[tokio::test]
    async fn a_task_that_panics_is_named() {
        let tasks = TaskWatch::new(CancellationToken::new());
        tasks.spawn_until_stop("one that panics", async { panic!("sums differ by {}", 3) });
        let end = first_ended(&tasks).await;
        assert_eq!(end.to_string(), "the task `one that panics` panicked: sums differ by 3");
    }

    #[tokio::test]
    async fn a_job_may_return_but_its_panic_is_named() {
        let tasks = TaskWatch::new(CancellationToken::new());
        let returned = tasks.job("one that returns", async {});
        let aborted = tasks.job("one that is aborted", std::future::pending());
        aborted.abort();
        returned.await.expect("it returns");
        assert!(aborted.await.expect_err("it never returns").is_cancelled());
        assert_eq!(*tasks.ended.borrow(), None);
        tasks.job("one that panics", async { panic!("no such {}", "place") });
        assert_eq!(first_ended(&tasks).await, TaskEnded { task: "one that panics", panic: Some("no such place".into()) });
    }

    #[tokio::test]
    async fn the_panic_of_a_task_that_somebody_else_started_is_named_and_goes_on() {
        let tasks = TaskWatch::new(CancellationToken::new());
        let watch = tasks.clone();
        assert_eq!(tasks.within("one that returns", async { 7 }).await, 7);
        let foreign = tokio::spawn(async move { watch.within("one that panics", async { panic!("out of range") }).await });
        assert!(foreign.await.expect_err("it goes on").is_panic());
        assert_eq!(first_ended(&tasks).await, TaskEnded { task: "one that panics", panic: Some("out of range".into()) });
    }

    #[tokio::test]
    async fn a_job_that_blocks_may_return_but_its_panic_is_named_even_after_the_stop() {
        let stopping = CancellationToken::new();
        let tasks = TaskWatch::new(stopping.clone());
        let (done, returned) = tokio::sync::oneshot::channel();
        tasks.blocking_job("one that returns", move || done.send(()).expect("somebody waits"));
        timeout(Duration::from_secs(10), returned).await.expect("it runs").expect("it returns");
        assert_eq!(*tasks.ended.borrow(), None);
        stopping.cancel();
        tasks.blocking_job("one that panics", || panic!("row {} can't be read", 7));
        assert_eq!(first_ended(&tasks).await, TaskEnded { task: "one that panics", panic: Some("row 7 can't be read".into()) });
    }

    #[tokio::test]
    async fn a_test_can_have_one_task_panic_and_no_other() {
        let tasks = TaskWatch::new(CancellationToken::new()).with_panic_in(Some("the chosen one".into()));
        tasks.spawn("another one", std::future::pending());
        tasks.spawn("the chosen one", std::future::pending());
        assert_eq!(first_ended(&tasks).await, TaskEnded { task: "the chosen one", panic: Some("a test had it panic".into()) });
    }

    #[tokio::test]
    async fn tasks_may_end_once_the_stop_has_begun() {
        let stopping = CancellationToken::new();
        let tasks = TaskWatch::new(stopping.clone());
        let stop = stopping.clone();
        tasks.spawn("one that waits for the stop", async move { stop.cancelled().await });
        tasks.spawn_until_stop("one that never ends", std::future::pending());
        stopping.cancel();
        timeout(Duration::from_secs(10), tasks.join()).await.expect("both end");
        assert_eq!(*tasks.ended.borrow(), None);
    }
}
