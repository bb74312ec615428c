//! The workload that all fault scenes share: entry through every node of some sites, and a watch on every node of the tree. In the
//! end everything that is held is read back batch by batch and checked.
//!
//! ```text
//! Recorder::start ─► SteadyEntry × nodes of the sources     CursorWatch on every node
//!        … the scene injects faults, and ends them …
//! Recorder::conclude ─► all nodes stand at one place ─► every stream of every node as a bundle ─► invariants ─► rows ─► kho verify
//! ```
//! A request without an acknowledgement is unknown: it is never repeated, and never counted as lost.

use std::{collections::BTreeMap, io::Cursor, ops::Range, time::Duration};

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use kho_ops::{
    client::{BundleRange, NodeClient},
    pki::ENCRYPTION_KEY_FILE,
};
use kho_replication::bundle::{BundleOpener, BundleReader, DecryptingReader};
use kho_storage::{
    encryption::DecryptionKey,
    ids::{OriginId, SiteId, StreamSeq},
    level::Level,
    register::VerifiedRegister,
    row::RowCells,
    schema::population,
    signature::SigningKey,
    stream::{Batch, BatchBody, Change},
};

use crate::{
    entry::{EntryRate, SteadyEntry, enter_recorded},
    invariants::{acknowledged_kept, check_all},
    people::{COLUMNS, People},
    place::Place,
    recording::{EntryOutcome, EntryRecord, HeldBatch, HeldStream, Recording},
    stage::Stage,
    wait::until,
    watch::CursorWatch,
};

/// After this long without an answer a request's outcome counts as unknown.
const TIMEOUT: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_millis(5);
const ROWS_PER_REQUEST: u64 = 3;
/// So many acknowledged rows are read by key, spread over all.
const ROWS_READ: usize = 60;

/// A site at which records are entered, of one commune.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    pub site: u32,
    pub commune: &'static str,
}

/// The workload under way.
pub struct Recorder {
    sources: Vec<Source>,
    entry: Vec<SteadyEntry>,
    watch: CursorWatch,
    /// Entered by the scene itself.
    besides: Vec<EntryRecord>,
}

/// What a scene came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Recorded {
    pub acknowledged: usize,
    pub unknown: usize,
    pub sightings: usize,
    pub batches_read_back: usize,
}

impl Recorder {
    /// Begins to enter at `sources`, through each of their nodes, and to watch every node of the tree.
    ///
    /// # Errors
    /// When an identity can't be loaded.
    pub fn start(stage: &Stage, sources: &[Source]) -> anyhow::Result<Self> {
        let mut entry = Vec::new();
        for source in sources {
            let urls = stage.tree.urls(SiteId(source.site));
            for place in 0..urls.len() {
                // Its own node first, and the others when that one does not answer.
                let mut urls = urls.clone();
                urls.rotate_left(place);
                let client = stage.tree.client(&urls, &format!("client-{}", source.site))?;
                let people = People::new(format!("steady-{}-{place}", source.site), source.commune);
                entry.push(SteadyEntry::start(
                    client,
                    source.site,
                    people,
                    EntryRate { rows: ROWS_PER_REQUEST, pause: PAUSE, timeout: Some(TIMEOUT) },
                ));
            }
        }
        let watched = stage.places().into_iter().map(|(site, node)| stage.tree.client(&[stage.tree.url(site, node)], "operator"));
        Ok(Self { sources: sources.to_vec(), entry, watch: CursorWatch::start(watched.collect::<Result<_, _>>()?), besides: vec![] })
    }

    /// Rows acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.entry.iter().map(SteadyEntry::acknowledged).sum()
    }

    /// Enters one request of the scene's own, until it is acknowledged.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn enter(&mut self, client: &NodeClient, origin: u32, people: &People, numbers: Range<u64>) -> anyhow::Result<()> {
        self.besides.push(enter_recorded(client, origin, people, numbers, None).await?);
        Ok(())
    }

    /// Waits until so many more rows are acknowledged.
    ///
    /// # Errors
    /// When they never are.
    pub async fn until_more(&self, rows: u64) -> anyhow::Result<()> {
        let wanted = self.acknowledged() + rows;
        until(&format!("{rows} more rows are acknowledged"), async || Ok((self.acknowledged() >= wanted).then_some(()))).await
    }

    /// Reads the sources' streams back from one node and checks whether everything that was acknowledged so far is held.
    ///
    /// # Errors
    /// When something is not.
    pub async fn ensure_kept_so_far(&self, stage: &Stage, at: Place) -> anyhow::Result<()> {
        // BEFORE the streams are read: what is acknowledged during that may not be in them.
        let entries = self.entry.iter().flat_map(SteadyEntry::records).collect();
        let mut recording = Recording { entries, ..Recording::default() };
        let register = verified_register(stage)?;
        // A follower may learn a moment later than the leader what is committed; after a linearizable read it knows.
        stage.tree.client(&[stage.tree.url(at.0, at.1)], &format!("client-{}", at.0))?.row("person", "nobody", None).await?;
        for source in &self.sources {
            let seq = recording
                .acknowledged()
                .filter_map(|entry| if let EntryOutcome::Acknowledged { seq, .. } = entry.outcome { Some(seq) } else { None })
                .max()
                .unwrap_or(0);
            let held = stage.stream(at, source.site).await?.seq;
            ensure!(
                held >= seq,
                "batch {seq} of origin {} was acknowledged, and node {} of site {} ends at batch {held}",
                source.site,
                at.1,
                at.0
            );
            recording.held.push(read_back(stage, &register, at, source.site, seq).await?);
        }
        let lost = acknowledged_kept(&recording);
        ensure!(lost.is_empty(), "lost:\n{}", lost.join("\n"));
        Ok(())
    }

    /// Ends the workload, waits until these nodes stand at the same place, reads everything back from them and checks it. Whatever
    /// the scene broke must be whole again by now.
    ///
    /// # Errors
    /// When they never meet, or an invariant is broken.
    pub async fn conclude(self, stage: &Stage, at: &[Place]) -> anyhow::Result<Recorded> {
        let mut recording = Recording { entries: self.besides, ..Recording::default() };
        for entry in self.entry {
            recording.entries.extend(entry.end_with_records().await?);
        }
        recording.held = until_settled(stage, &self.sources, at).await?;
        recording.sightings = self.watch.end_with_sightings();
        check_all(&recording)?;
        ensure_rows_answer(stage, &recording).await?;
        stage.verify(at).await?;
        let acknowledged = recording.acknowledged().count();
        let batches_read_back = recording.held.iter().map(|held| held.batches.len()).sum();
        let recorded = Recorded {
            acknowledged,
            unknown: recording.entries.len() - acknowledged,
            sightings: recording.sightings.len(),
            batches_read_back,
        };
        eprintln!("{recorded:?}");
        Ok(recorded)
    }
}

/// Reads every stream of the sources from every node, until all stand at one place and nothing moves any more.
async fn until_settled(stage: &Stage, sources: &[Source], at: &[Place]) -> anyhow::Result<Vec<HeldStream>> {
    let register = verified_register(stage)?;
    let mut held = Vec::new();
    for source in sources {
        let before = std::cell::Cell::new(0);
        let seq = until(&format!("all nodes stand at the same place of origin {}", source.site), async || {
            let streams = try_join_all(at.iter().map(|place| stage.stream(*place, source.site))).await?;
            let first = &streams[0];
            let met =
                streams.iter().all(|stream| (stream.seq, &stream.digest) == (first.seq, &first.digest) && !stream.state.is_transferring());
            // A request that its client gave up may still be committed: the place must be the same at two polls.
            let stood = before.replace(first.seq) == first.seq;
            tokio::time::sleep(Duration::from_millis(if met { 500 } else { 0 })).await;
            Ok((met && stood).then_some(first.seq))
        })
        .await?;
        for place in at {
            held.push(
                read_back(stage, &register, *place, source.site, seq)
                    .await
                    .with_context(|| format!("node {} of site {}", place.1, place.0))?,
            );
        }
    }
    Ok(held)
}

/// A whole stream out of one node, as a bundle holds it.
async fn read_back(stage: &Stage, register: &VerifiedRegister, at: Place, origin: u32, seq: u64) -> anyhow::Result<HeldStream> {
    let client = stage.tree.client(&[stage.tree.url(at.0, at.1)], "operator")?;
    // Made for the node's own site, whose key this machine has.
    let range = BundleRange { reader: Some(at.0), origins: vec![OriginId(origin)], from: vec![(OriginId(origin), StreamSeq(1))] };
    let pem = std::fs::read_to_string(stage.tree.node_dir(at.0, at.1).join(ENCRYPTION_KEY_FILE))?;
    let key = DecryptionKey::from_pkcs8_pem(&pem)?;
    let opener = BundleOpener { tree: &stage.tree.plan().tree, site: at.0, node: at.1, key: &key };
    let open = |bytes| BundleReader::open(DecryptingReader::open(Cursor::new(bytes), opener)?, register, at.0);
    let (bytes, stream) = until(&format!("a head covers batch {seq}"), async || {
        let bytes = client.export_bundle(&range).await?.bytes().await?;
        let bundle = open(bytes.clone())?;
        let covered = bundle.trailer().streams.first().is_some_and(|stream| stream.next.0 > seq);
        Ok(covered.then_some((bytes, stage.stream(at, origin).await?)))
    })
    .await?;
    let mut bundle = open(bytes)?;
    let mut batches = Vec::new();
    while let Some(segment) = bundle.next_segment()? {
        let segment = segment
            .verify(register, at.0, Level::TEST)
            .map_err(|refusal| anyhow::anyhow!("a segment that this site holds is refused: {refusal:?}"))?
            .into_segment();
        for bytes in &segment.batches {
            batches.push(held_batch(&Batch::decode(bytes)?)?);
        }
    }
    Ok(HeldStream { at, origin, epoch: stream.epoch, seq: stream.seq, rows: stream.rows, digest: stream.digest, batches })
}

fn held_batch(batch: &Batch) -> anyhow::Result<HeldBatch> {
    let BatchBody::Rows { requests, changes } = &batch.body else {
        anyhow::bail!("batch {} opens an epoch, and nobody ordered one", batch.seq)
    };
    let rows = changes.iter().map(row_text).collect::<Result<_, _>>()?;
    Ok(HeldBatch {
        epoch: batch.epoch.to_string(),
        seq: batch.seq.0,
        site_time: batch.site_time,
        requests: requests.iter().map(|request| request.key.clone()).collect(),
        rows,
    })
}

/// The row that a change puts, as CSV in the order in which it was entered.
fn row_text(change: &Change) -> anyhow::Result<String> {
    let schema = population();
    let table = schema.table_named("person").context("the schema has no persons")?;
    let cells = change.cells().context("a row is taken away, and nobody ordered that")?;
    let mut columns = BTreeMap::from([(table.key.as_str(), String::from_utf8(change.key.to_vec())?)]);
    for (id, value) in RowCells::check(cells)?.iter() {
        let column = table.column(id).with_context(|| format!("a row has a column {id}, and nobody entered one"))?;
        columns.insert(&column.name, value.to_text(schema, column));
    }
    let texts: Vec<String> = COLUMNS.iter().map(|name| columns.remove(name).unwrap_or_default()).collect();
    ensure!(columns.is_empty(), "a row has columns that nobody entered: {columns:?}");
    Ok(texts.join(","))
}

/// Reads some of the acknowledged rows from the site that authors them, as a client does.
async fn ensure_rows_answer(stage: &Stage, recording: &Recording) -> anyhow::Result<()> {
    let acknowledged: Vec<_> = recording.acknowledged().collect();
    for entry in acknowledged.iter().step_by(acknowledged.len().div_ceil(ROWS_READ).max(1)) {
        let client = stage.tree.client(&stage.tree.urls(SiteId(entry.origin)), &format!("client-{}", entry.origin))?;
        let EntryOutcome::Acknowledged { seq, .. } = entry.outcome else { continue };
        for row in entry.rows.iter().filter_map(|row| row.split(',').next()) {
            let found = client.row("person", row, None).await?.found;
            ensure!(found.len() == 1 && found[0].seq == seq, "person {row} was acknowledged in batch {seq} and is found as {found:?}");
        }
    }
    Ok(())
}

fn verified_register(stage: &Stage) -> anyhow::Result<VerifiedRegister> {
    let key = SigningKey::from_pkcs8_pem(&std::fs::read_to_string(stage.tree.dir().join("pki").join("register.key"))?)?;
    Ok(stage.tree.register()?.verify(&key.public_key(), &stage.tree.plan().tree)?)
}
