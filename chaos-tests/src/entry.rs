//! Entry of records during faults: an import as an operator runs it, and small requests all the time.

use std::{
    ops::Range,
    process::{Output, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use kho_node::api::BatchAccepted;
use kho_ops::client::NodeClient;
use tokio::{
    process::{Child, Command},
    task::JoinHandle,
};

use crate::{
    people::People,
    recording::{EntryOutcome, EntryRecord},
};

/// A `kho import` under way. Dropping it ends the process.
#[derive(Debug)]
pub struct Import {
    child: Child,
}

impl Import {
    /// Starts the command; its standard output must be the summary as JSON.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
        Ok(Self { child })
    }

    /// Proves that the fault that was just made came in the middle.
    ///
    /// # Errors
    /// When the import is over already.
    pub fn ensure_under_way(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(ended) => bail!("the import was over ({ended}) before the fault; this scene needs more rows"),
        }
    }

    /// Waits for the end and gives the number of rows that the site acknowledged.
    ///
    /// # Errors
    /// When the import failed or refused anything.
    pub async fn rows(self) -> anyhow::Result<u64> {
        let Output { status, stdout, stderr } = self.child.wait_with_output().await?;
        let (out, errors) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        ensure!(status.success(), "the import ended with {status}:\n{out}\n{errors}");
        let summary: serde_json::Value =
            serde_json::from_str(&out).with_context(|| format!("the import's summary can't be read:\n{out}\n{errors}"))?;
        let count = |name: &str| summary["total"][name].as_u64().with_context(|| format!("the summary has no {name}: {summary}"));
        Ok(count("rows")? + count("repeated_rows")?)
    }
}

/// How fast a [`SteadyEntry`] enters requests, and how long it waits for each.
#[derive(Debug, Clone, Copy)]
pub struct EntryRate {
    /// Rows of one request.
    pub rows: u64,
    /// Between two requests.
    pub pause: Duration,
    /// After this long without an acknowledgement a request's outcome counts as unknown, and the next one is begun. None: a
    /// request is entered until it is acknowledged, and a refusal ends the scene.
    pub timeout: Option<Duration>,
}

impl EntryRate {
    /// Single rows, each until it is acknowledged.
    pub fn until_acknowledged(pause: Duration) -> Self {
        Self { rows: 1, pause, timeout: None }
    }
}

/// Requests entered one after another all the time, each under its own request key over all retries.
#[derive(Debug)]
pub struct SteadyEntry {
    people: People,
    acknowledged: Arc<AtomicU64>,
    ledger: Arc<Mutex<Vec<EntryRecord>>>,
    stopping: Arc<AtomicBool>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl SteadyEntry {
    /// Enters `people` of `origin` from number 0 on.
    pub fn start(client: NodeClient, origin: u32, people: People, rate: EntryRate) -> Self {
        let (acknowledged, ledger, stopping) = (Arc::new(AtomicU64::new(0)), Arc::default(), Arc::new(AtomicBool::new(false)));
        let task = {
            let (people, acknowledged, stopping, ledger) =
                (people.clone(), Arc::clone(&acknowledged), Arc::clone(&stopping), Arc::clone(&ledger));
            tokio::spawn(async move {
                let mut numbers = 0..rate.rows;
                while !stopping.load(Ordering::Relaxed) {
                    let record = enter_recorded(&client, origin, &people, numbers.clone(), rate.timeout).await?;
                    if let EntryOutcome::Acknowledged { .. } = record.outcome {
                        acknowledged.fetch_add(rate.rows, Ordering::Relaxed);
                    }
                    locked(&ledger).push(record);
                    numbers = numbers.end..numbers.end + rate.rows;
                    tokio::time::sleep(rate.pause).await;
                }
                Ok(())
            })
        };
        Self { people, acknowledged, ledger, stopping, task }
    }

    /// Rows acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// What became of every request so far.
    pub fn records(&self) -> Vec<EntryRecord> {
        locked(&self.ledger).clone()
    }

    /// Ends after the request under way; gives who was entered and how many rows were acknowledged. With a rate that has no
    /// timeout nothing is left in doubt: the row under way is entered until it is acknowledged.
    ///
    /// # Errors
    /// When a row was refused.
    pub async fn end(mut self) -> anyhow::Result<(People, u64)> {
        self.finish().await?;
        Ok((self.people.clone(), self.acknowledged()))
    }

    /// Ends after the request under way; gives what became of every request.
    ///
    /// # Errors
    /// When a request was refused and the rate has no timeout.
    pub async fn end_with_records(mut self) -> anyhow::Result<Vec<EntryRecord>> {
        self.finish().await?;
        let records = std::mem::take(&mut *locked(&self.ledger));
        Ok(records)
    }

    async fn finish(&mut self) -> anyhow::Result<()> {
        self.stopping.store(true, Ordering::Relaxed);
        (&mut self.task).await.context("the entry's task failed")?
    }
}

impl Drop for SteadyEntry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Enters one request. Without timeout it is entered until it is acknowledged; a timeout that runs out leaves it in doubt.
///
/// # Errors
/// When it is refused and there is no timeout.
pub async fn enter_recorded(
    client: &NodeClient,
    origin: u32,
    people: &People,
    numbers: Range<u64>,
    timeout: Option<Duration>,
) -> anyhow::Result<EntryRecord> {
    let outcome = enter(client, people, &numbers, timeout).await?;
    Ok(EntryRecord { origin, request_key: people.request_key(&numbers), rows: numbers.map(|number| people.row(number)).collect(), outcome })
}

async fn enter(client: &NodeClient, people: &People, numbers: &Range<u64>, timeout: Option<Duration>) -> anyhow::Result<EntryOutcome> {
    let entering = client.enter(people.batch(numbers.clone()));
    let Some(timeout) = timeout else {
        let accepted = entering.await.with_context(|| format!("rows {numbers:?} were not taken"))?;
        return taken(accepted, numbers);
    };
    match tokio::time::timeout(timeout, entering).await {
        Ok(Ok(accepted)) => taken(accepted, numbers),
        // An earlier attempt of the same request may have arrived, whatever the last one was answered.
        Ok(Err(error)) => Ok(EntryOutcome::Unknown { why: error.to_string() }),
        Err(_) => Ok(EntryOutcome::Unknown { why: format!("no answer within {} ms", timeout.as_millis()) }),
    }
}

fn taken(accepted: BatchAccepted, numbers: &Range<u64>) -> anyhow::Result<EntryOutcome> {
    let sent = numbers.end - numbers.start;
    ensure!(u64::from(accepted.rows) == sent, "{sent} rows were sent, {} were counted", accepted.rows);
    Ok(EntryOutcome::Acknowledged { epoch: accepted.epoch, seq: accepted.seq })
}

fn locked(ledger: &Mutex<Vec<EntryRecord>>) -> std::sync::MutexGuard<'_, Vec<EntryRecord>> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}
