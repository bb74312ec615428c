//! Brings one file into a site: read, cut, several batches in flight, journal behind them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use kho_node::{
    api::{BatchAccepted, BatchChecked, EmptiedFields, LeftOut, Problem},
    entry::UnnamedColumns,
};
use tokio::sync::mpsc;

use super::{
    batches::{Batch, Batches, HashedMark, SourceError},
    journal::{ImportSettings, Journal, Start, start},
    ledger::Ledger,
    progress::ImportProgress,
    sources::Source,
    summary::{FileEnd, FileReport, ImportSummary, RefusedBatch, Tally, add_emptied, add_left_out},
};
use crate::{
    client::{BatchUpload, CallError, NodeClient},
    failure::{Failure, FailureKind},
};

/// How often the journal is written while batches come in. What it lacks is sent again, which is harmless.
const JOURNAL_INTERVAL: Duration = Duration::from_secs(1);
/// An answer may break off after its first line. With the same key the request can be sent again.
const ENTER_TRIES_MAX: u32 = 5;

/// What is the same for all files of one import.
#[derive(Debug, Clone)]
pub struct ImportPlan {
    pub target: String,
    pub batch_rows: u64,
    pub jobs: usize,
    pub keep_going: bool,
    pub journal: bool,
    pub restart: bool,
    pub unnamed: UnnamedColumns,
    /// Batches are checked, and none is entered.
    pub dry_run: bool,
    pub again: String,
}

/// Imports one file. Its report and refusals are in `summary` in any case.
///
/// # Errors
/// When the file can't be read, the site can't be reached or does not let the caller in, or the user stops it.
pub async fn import_file(
    client: &NodeClient,
    source: &Source,
    plan: &ImportPlan,
    summary: &mut ImportSummary,
    progress: &mut ImportProgress,
) -> Result<FileEnd, Failure> {
    let started = Instant::now();
    let mut settings = ImportSettings {
        target: plan.target.clone(),
        form: source.form,
        table: source.table.clone(),
        batch_rows: plan.batch_rows,
        unnamed: plan.unnamed,
        again: plan.again.clone(),
    };
    let journaled = source.file().filter(|_| plan.journal);
    let resume = match journaled {
        Some(file) if !plan.restart => match start(Journal::load(file)?, &settings)? {
            Start::Fresh => None,
            Start::Resume { after, batch_rows } => {
                settings.batch_rows = batch_rows;
                Some(after)
            }
        },
        _ => None,
    };
    let (batches, bytes_read) = read_batches(source, &settings, resume, plan.jobs)?;
    let resumed_after_rows = resume.map_or(0, |after| after.mark.rows);
    let mut upload = Upload {
        client,
        source,
        plan,
        settings,
        summary,
        progress,
        bytes_read,
        tally: Tally::default(),
        left_out: Vec::new(),
        emptied: Vec::new(),
        ledger: Ledger::default(),
        place: resume,
        journal_written: Instant::now(),
    };
    let outcome = upload.run(batches).await;
    // Written in any case: it is what makes a failed import go on where it was.
    let kept = match outcome {
        Ok(FileEnd::Complete | FileEnd::Refused) => upload.forget_journal(),
        _ => upload.write_journal(),
    };
    let (mut tally, left_out, emptied, size) = (upload.tally, upload.left_out, upload.emptied, source.size());
    tally.seconds = started.elapsed().as_secs_f64();
    let end = outcome.as_ref().copied().unwrap_or(FileEnd::Interrupted);
    let (unnamed, dry_run) = (plan.unnamed, plan.dry_run);
    summary.add_file(FileReport { file: source.to_string(), end, dry_run, resumed_after_rows, unnamed, left_out, emptied, tally });
    progress.finish_file(size);
    outcome.and_then(|end| kept.map(|()| end))
}

type BatchReceiver = mpsc::Receiver<Result<Batch, SourceError>>;

/// Starts a thread that reads and cuts, at most `ahead` batches ahead of the site.
fn read_batches(
    source: &Source,
    settings: &ImportSettings,
    resume: Option<HashedMark>,
    ahead: usize,
) -> Result<(BatchReceiver, Arc<AtomicU64>), Failure> {
    let open = source
        .open()
        .map_err(|error| Failure::usage(format!("{source} could not be opened: {error}"), "check the name and the file's rights"))?;
    let (sender, receiver) = mpsc::channel(ahead);
    let (form, rows_max) = (settings.form, settings.batch_rows);
    tokio::task::spawn_blocking(move || {
        let mut batches = match Batches::open(open.reader, form, rows_max, resume.as_ref()) {
            Ok(batches) => batches,
            Err(error) => return drop(sender.blocking_send(Err(error))),
        };
        while let Some(batch) = batches.next_batch().transpose() {
            let failed = batch.is_err();
            // A receiver that is gone wants no more.
            if sender.blocking_send(batch).is_err() || failed {
                return;
            }
        }
    });
    Ok((receiver, open.bytes_read))
}

/// One file under way.
struct Upload<'a> {
    client: &'a NodeClient,
    source: &'a Source,
    plan: &'a ImportPlan,
    settings: ImportSettings,
    summary: &'a mut ImportSummary,
    progress: &'a mut ImportProgress,
    bytes_read: Arc<AtomicU64>,
    tally: Tally,
    left_out: Vec<LeftOut>,
    emptied: Vec<EmptiedFields>,
    ledger: Ledger,
    /// Everything before it is in.
    place: Option<HashedMark>,
    journal_written: Instant,
}

/// What follows from the answer to one batch.
enum Next {
    GoOn,
    /// No further batch; those in flight are awaited.
    Stop(Result<FileEnd, Failure>),
}

impl Upload<'_> {
    async fn run(&mut self, mut batches: BatchReceiver) -> Result<FileEnd, Failure> {
        let client = self.client;
        let mut in_flight = FuturesUnordered::new();
        let mut reading = true;
        let mut end = Ok(FileEnd::Complete);
        let stop = tokio::signal::ctrl_c();
        tokio::pin!(stop);
        while reading || !in_flight.is_empty() {
            let next = tokio::select! {
                biased;
                _ = &mut stop => return Err(stopped()),
                Some((batch, answer)) = in_flight.next(), if !in_flight.is_empty() => self.settle(&batch, answer)?,
                read = batches.recv(), if reading && in_flight.len() < self.plan.jobs => match read {
                    Some(Ok(batch)) => {
                        in_flight.push(send(client, self.upload_of(&batch), batch, self.plan.dry_run));
                        Next::GoOn
                    }
                    Some(Err(error)) => Next::Stop(Err(unreadable(self.source, &error))),
                    None => {
                        reading = false;
                        Next::GoOn
                    }
                },
            };
            if let Next::Stop(why) = next {
                reading = false;
                // The first reason counts: later ones often follow from it.
                if matches!(end, Ok(FileEnd::Complete)) {
                    end = why;
                }
            }
        }
        match end {
            Ok(FileEnd::Complete) if self.tally.refused_batches > 0 => Ok(FileEnd::Refused),
            end => end,
        }
    }

    fn upload_of(&self, batch: &Batch) -> BatchUpload {
        let table = self.settings.table.clone();
        BatchUpload {
            request_key: batch.request_key(table.as_deref(), self.settings.unnamed, &self.settings.again),
            table,
            content_type: self.settings.form.content_type(),
            unnamed: self.settings.unnamed,
            body: batch.body.clone(),
        }
    }

    /// Books the answer to one batch.
    fn settle(&mut self, batch: &Batch, answer: Result<Answer, CallError>) -> Result<Next, Failure> {
        match answer {
            Ok(Answer::Checked(checked)) => {
                self.tally.batches += 1;
                self.tally.rows += u64::from(checked.rows);
                self.tally.bytes += batch.body.len() as u64;
                add_left_out(&mut self.left_out, &checked.left_out);
                add_emptied(&mut self.emptied, &checked.emptied);
                self.progress.advance(u64::from(checked.rows), self.bytes_read.load(Ordering::Relaxed));
                Ok(Next::GoOn)
            }
            Ok(Answer::Entered(accepted)) => {
                self.accept(batch, &accepted)?;
                Ok(Next::GoOn)
            }
            Err(CallError::Refused { status, problem }) if is_about_content(status) => {
                self.refuse(batch, problem);
                Ok(if self.plan.keep_going { Next::GoOn } else { Next::Stop(Ok(FileEnd::Stopped)) })
            }
            Err(error) => {
                self.ledger.refused(batch.number);
                Ok(Next::Stop(Err(error.into())))
            }
        }
    }

    fn accept(&mut self, batch: &Batch, accepted: &BatchAccepted) -> Result<(), Failure> {
        let rows = u64::from(accepted.rows);
        if accepted.repeated {
            self.tally.repeated_batches += 1;
            self.tally.repeated_rows += rows;
        } else {
            self.tally.batches += 1;
            self.tally.rows += rows;
            add_left_out(&mut self.left_out, &accepted.left_out);
        }
        self.tally.bytes += batch.body.len() as u64;
        self.progress.advance(rows, self.bytes_read.load(Ordering::Relaxed));
        if let Some(place) = self.ledger.acknowledged(batch.number, batch.end) {
            self.place = Some(place);
            if self.journal_written.elapsed() >= JOURNAL_INTERVAL {
                self.write_journal()?;
            }
        }
        Ok(())
    }

    fn refuse(&mut self, batch: &Batch, mut problem: Problem) {
        self.ledger.refused(batch.number);
        self.tally.refused_batches += 1;
        self.tally.refused_rows += batch.rows();
        problem.errors = problem.errors.into_iter().map(|finding| batch.place_in_file(finding)).collect();
        self.summary.add_refused(RefusedBatch {
            file: self.source.to_string(),
            first_row: batch.first.rows + 1,
            last_row: batch.end.mark.rows,
            problem,
        });
    }

    fn write_journal(&mut self) -> Result<(), Failure> {
        self.journal_written = Instant::now();
        match (self.source.file().filter(|_| self.plan.journal), self.place) {
            (Some(file), Some(place)) => Journal::new(self.settings.clone(), place).save(file),
            _ => Ok(()),
        }
    }

    fn forget_journal(&self) -> Result<(), Failure> {
        self.source.file().filter(|_| self.plan.journal).map_or(Ok(()), Journal::remove)
    }
}

/// What the site answers to a batch.
enum Answer {
    Entered(BatchAccepted),
    /// In a dry run.
    Checked(BatchChecked),
}

/// Sends one batch. Sends it again when an answer breaks off: the key makes that harmless.
async fn send(client: &NodeClient, upload: BatchUpload, batch: Batch, dry_run: bool) -> (Batch, Result<Answer, CallError>) {
    let mut tries = 1;
    loop {
        let answer = match dry_run {
            true => client.check_batch(upload.clone()).await.map(Answer::Checked),
            false => client.enter(upload.clone()).await.map(Answer::Entered),
        };
        match answer {
            Err(CallError::Unknown { .. }) if tries < ENTER_TRIES_MAX => tries += 1,
            answer => return (batch, answer),
        }
    }
}

/// Whether a refusal is about this batch, so that others may still be taken.
fn is_about_content(status: u16) -> bool {
    matches!(status, 400 | 409 | 413 | 415 | 422)
}

fn stopped() -> Failure {
    Failure::new(
        FailureKind::Unknown,
        "the import was stopped; batches that were under way may be in or not",
        "give the same command again: it goes on where it was and enters no row twice",
    )
}

fn unreadable(source: &Source, error: &SourceError) -> Failure {
    let hint = match error {
        SourceError::Changed { .. } => {
            "give --restart to import it from its start; rows that are in already are not entered again where nothing changed before them"
        }
        _ => "what came before is in; fix the file and give the same command again",
    };
    Failure::refused(format!("{source}: {error}"), hint)
}
