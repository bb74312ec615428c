//! Records on their way in while things break: an import as an operator runs it, and single rows all the time.

use std::{
    process::{Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use kho_ops::client::NodeClient;
use tokio::{
    process::{Child, Command},
    task::JoinHandle,
};

use crate::people::People;

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
        let (out, told) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        ensure!(status.success(), "the import ended with {status}:\n{out}\n{told}");
        let summary: serde_json::Value = serde_json::from_str(&out).with_context(|| format!("the import's summary can't be read:\n{out}\n{told}"))?;
        let count = |name: &str| summary["total"][name].as_u64().with_context(|| format!("the summary has no {name}: {summary}"));
        Ok(count("rows")? + count("repeated_rows")?)
    }
}

/// Rows entered one by one all the time, each until it is acknowledged, under one request key.
#[derive(Debug)]
pub struct SteadyEntry {
    people: People,
    acknowledged: Arc<AtomicU64>,
    stopping: Arc<AtomicBool>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl SteadyEntry {
    /// Enters `people` from number 0 on with `pause` between rows.
    pub fn start(client: NodeClient, people: People, pause: Duration) -> Self {
        let (acknowledged, stopping) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let task = {
            let (people, acknowledged, stopping) = (people.clone(), Arc::clone(&acknowledged), Arc::clone(&stopping));
            tokio::spawn(async move {
                while !stopping.load(Ordering::Relaxed) {
                    let number = acknowledged.load(Ordering::Relaxed);
                    let accepted = client.enter(people.batch(number..number + 1)).await.with_context(|| format!("row {number} was not taken"))?;
                    ensure!(accepted.rows == 1, "one row was sent, {} were counted", accepted.rows);
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(pause).await;
                }
                Ok(())
            })
        };
        Self { people, acknowledged, stopping, task }
    }

    /// Rows acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Ends after the row under way; gives who was entered and how many were acknowledged. Nothing is left in doubt: the row
    /// under way is entered until it is acknowledged.
    ///
    /// # Errors
    /// When a row was refused.
    pub async fn end(mut self) -> anyhow::Result<(People, u64)> {
        self.stopping.store(true, Ordering::Relaxed);
        (&mut self.task).await.context("the entry's task failed")??;
        Ok((self.people.clone(), self.acknowledged()))
    }
}

impl Drop for SteadyEntry {
    fn drop(&mut self) {
        self.task.abort();
    }
}
