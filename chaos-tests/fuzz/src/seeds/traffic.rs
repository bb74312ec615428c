//! Two sites that replicate: real warehouses, the real machines of both ends, every frame encoded and decoded. No network.

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use kho_node::entry::{CheckedBatch, EntryEncoding, EntryFormat, EntryLimits, EntryReader, EntrySchema, EntryScope, UnnamedColumns};
use kho_replication::{
    frames::{ChildFrame, Cursor, ParentFrame},
    intake::{ChildIdentity, CursorsHeld, Intake, IntakeAction, IntakeConfig, IntakeInput, SiteLeader},
    link_time::LinkTime,
    uplink::{LinkId, LoadFailure, StreamPosition, Uplink, UplinkAction, UplinkConfig, UplinkInput},
};
use kho_storage::{
    command::{Command, Outcome, WriteRequest},
    db::MemoryImage,
    ids::{OriginId, SiteId, SiteTime, StreamSeq},
    level::Level,
    register::{AreaScope, RegisterChain},
    schema::population,
    stream::{Head, Segment, SignedHead},
    warehouse::{AppliedMark, Transfer, Warehouse},
};

use super::bodies;
use crate::world::{DISTRICT, NODE, ORIGIN, PROVINCE, WORLD};

/// Small, so that there are several of each.
const SEGMENT_BYTES: usize = 2_000;
const PIECE_BYTES: usize = 1_500;
/// Far more than two sites of this size need.
const STEPS_MAX: usize = 10_000;
const NOW: SiteTime = SiteTime(1_700_000_000_000);

/// Everything that went between two sites, and what they held.
#[derive(Default)]
pub struct Traffic {
    pub up: Vec<Vec<u8>>,
    pub down: Vec<Vec<u8>>,
    pub commands: Vec<Command>,
    pub segments: Vec<Segment>,
    pub images: Vec<MemoryImage>,
}

/// A site of one node, in memory.
struct Site {
    warehouse: Warehouse,
}

impl Traffic {
    /// Lets a district enter, replicate, trim, and transfer all it has to a province that lost everything.
    ///
    /// # Errors
    /// When the two do not come to hold the same.
    pub fn record() -> anyhow::Result<Self> {
        let mut traffic = Self::default();
        let (district, province, fresh) = (Site::open(DISTRICT)?, Site::open(PROVINCE)?, Site::open(PROVINCE)?);
        for batch in 0..8 {
            traffic.enter(&district, batch)?;
        }
        let mut from = StreamSeq(1);
        while let Some(segment) = district.warehouse.segment(ORIGIN, from, 1)?.filter(|segment| !segment.batches.is_empty()) {
            from = segment.head.head.seq.next();
            traffic.segments.push(segment);
        }
        traffic.replicate(&district, &province)?;
        district.apply(&Command::Trim { keep_bytes: 600 })?;
        traffic.enter(&district, 8)?;
        traffic.replicate(&district, &fresh)?;
        let frames: Vec<_> = traffic.up.iter().filter_map(|bytes| ChildFrame::decode(bytes).ok()).collect();
        ensure!(frames.iter().any(|frame| matches!(frame, ChildFrame::Piece { .. })), "no piece of a transfer went over the link");
        Ok(traffic)
    }

    /// Enters some rows at a site, as CSV and NDJSON by turns, and signs a head over them.
    fn enter(&mut self, site: &Site, batch: u32) -> anyhow::Result<()> {
        let first = batch * 6;
        let (format, body) = match batch % 2 {
            0 => (EntryFormat::Csv { table: "person".into() }, bodies::persons_csv(first, first + 6)),
            _ => (EntryFormat::Ndjson, bodies::persons_ndjson(first, first + 6) + &bodies::without(first - 2) + &bodies::moved(first - 3)),
        };
        let scope = EntryScope { areas: vec![AreaScope { catalogue: "legacy-63".into(), code: "001".into() }] };
        let schema = Arc::new(EntrySchema::compile(population(), Level::FOUNDING));
        let refused = |refusal| anyhow::anyhow!("a good body is refused: {refusal:?}");
        let (encoding, limits) = (EntryEncoding::Identity, EntryLimits::default());
        let mut reader = EntryReader::new(schema, scope, format, encoding, UnnamedColumns::Stay, limits).map_err(refused)?;
        reader.feed(body.as_bytes()).map_err(refused)?;
        let checked = reader.finish().map_err(refused)?;
        let CheckedBatch { changes, needs, body_hash, .. } = checked;
        let request = WriteRequest { key: format!("seed-{batch}"), body_hash, changes, needs };
        let time = SiteTime(NOW.0 + i64::from(batch) * 1000);
        self.apply(site, Command::Write { site_time: time, origin: ORIGIN, requests: vec![request] })?;
        let state = site.warehouse.origin(ORIGIN)?.context("something was written")?;
        let head = Head {
            origin: ORIGIN,
            epoch: state.epoch,
            seq: state.last(),
            chain: state.chain,
            digest: state.sum.digest(),
            rows: state.rows,
            site_time: time,
        };
        let signed = SignedHead::sign(head, DISTRICT, NODE, &WORLD.district)?;
        self.apply(site, Command::CommitHead { signed })?;
        self.images.push(site.warehouse.image().context("it is in memory")?);
        Ok(())
    }

    fn apply(&mut self, site: &Site, command: Command) -> anyhow::Result<Outcome> {
        let outcome = site.apply(&command)?;
        self.commands.push(command);
        Ok(outcome)
    }

    /// Runs both machines until neither has anything left to do.
    fn replicate(&mut self, child: &Site, parent: &Site) -> anyhow::Result<()> {
        let now = LinkTime(0);
        let config = UplinkConfig { segment_bytes_max: SEGMENT_BYTES, piece_bytes_max: PIECE_BYTES, ..UplinkConfig::default() };
        let mut uplink = Uplink::new(config, DISTRICT, NODE, 1);
        let register = Arc::new(WORLD.register.clone());
        let chain = Arc::new(RegisterChain::single(register.version(), WORLD.signed.clone()));
        let identity = ChildIdentity { site: DISTRICT, node: NODE };
        let mut intake = Intake::new(IntakeConfig::default(), PROVINCE, identity, Arc::clone(&register), chain, SiteLeader::ThisNode, now);
        uplink.handle(UplinkInput::RegisterChanged(register), now);
        uplink.handle(UplinkInput::BecameLeader { streams: vec![child.position()?], recorded: vec![] }, now);
        let mut current_link = LinkId(0);
        for _ in 0..STEPS_MAX {
            if let Some(action) = uplink.poll_action() {
                self.child_acts(child, action, &mut uplink, &mut intake, &mut current_link)?;
            } else if let Some(action) = intake.poll_action() {
                self.parent_acts(parent, action, &mut uplink, &mut intake, current_link)?;
            } else {
                let held =
                    |site: &Site| anyhow::Ok(site.warehouse.origin(ORIGIN)?.map(|state| (state.next, state.chain, state.sum.digest())));
                ensure!(held(child)? == held(parent)?, "the parent does not hold what the child does");
                self.images.push(parent.warehouse.image().context("it is in memory")?);
                // The child records later what the parent acknowledged.
                uplink.handle(UplinkInput::Tick, now.after_ms(5_000));
                while let Some(action) = uplink.poll_action() {
                    self.child_acts(child, action, &mut uplink, &mut intake, &mut current_link)?;
                }
                return Ok(());
            }
        }
        bail!("the two sites do not come to rest")
    }

    fn child_acts(
        &mut self,
        child: &Site,
        action: UplinkAction,
        uplink: &mut Uplink,
        intake: &mut Intake,
        current_link: &mut LinkId,
    ) -> anyhow::Result<()> {
        let now = LinkTime(0);
        match action {
            UplinkAction::Dial { link, .. } => {
                *current_link = link;
                uplink.handle(UplinkInput::LinkOpened { link }, now);
            }
            UplinkAction::SendFrame { frame, .. } => {
                let bytes = frame.encode()?;
                intake.handle(IntakeInput::FrameReceived(ChildFrame::decode(&bytes)?), now, NOW);
                self.up.push(bytes);
            }
            UplinkAction::LoadSegment { load, origin, from, bytes_max } => {
                uplink.handle(UplinkInput::SegmentLoaded { load, result: child.segment(origin, from, bytes_max)? }, now);
            }
            UplinkAction::LoadTransferStart { load, origin } => {
                let start = child.warehouse.read(|reading| reading.transfer_start(origin))?;
                uplink.handle(UplinkInput::TransferStartLoaded { load, result: start.ok_or(LoadFailure::NoSuchPlace) }, now);
            }
            UplinkAction::LoadPiece { load, origin, from, bytes_max, .. } => {
                let piece = child.warehouse.read(|reading| reading.piece(origin, &from, bytes_max))?;
                uplink.handle(UplinkInput::PieceLoaded { load, result: piece.ok_or(LoadFailure::NoSuchPlace) }, now);
            }
            UplinkAction::RecordParent { parent, cursors } => drop(self.apply(child, Command::RecordParent { parent, cursors })?),
            UplinkAction::FetchRegister { .. }
            | UplinkAction::AdoptRegister(_)
            | UplinkAction::CompareHead { .. }
            | UplinkAction::Probe { .. } => {}
            UplinkAction::Disconnect { reason, .. } => bail!("the child disconnects: {reason}"),
            UplinkAction::RaiseAlarm(alarm) => bail!("the child raises an alarm: {alarm}"),
        }
        Ok(())
    }

    fn parent_acts(
        &mut self,
        parent: &Site,
        action: IntakeAction,
        uplink: &mut Uplink,
        intake: &mut Intake,
        link: LinkId,
    ) -> anyhow::Result<()> {
        let now = LinkTime(0);
        match action {
            IntakeAction::ReadCursors { origins, authored } => {
                intake.handle(IntakeInput::CursorsRead(Ok(parent.cursors(&origins, &authored)?)), now, NOW);
            }
            IntakeAction::ChildCaughtUp { .. } => {}
            IntakeAction::Propose { id, command } => {
                let outcome = self.apply(parent, command)?;
                intake.handle(IntakeInput::Proposed { id, result: Ok(outcome) }, now, NOW);
            }
            IntakeAction::SendFrame(frame) => {
                let bytes = frame.encode()?;
                uplink.handle(UplinkInput::FrameReceived { link, frame: ParentFrame::decode(&bytes)? }, now);
                self.down.push(bytes);
            }
            IntakeAction::Close { reason } => bail!("the parent closes the link: {reason}"),
            IntakeAction::KeepEvidence(evidence) => bail!("the parent refuses: {}", evidence.refusal),
            IntakeAction::RaiseAlarm(alarm) => bail!("the parent raises an alarm: {alarm}"),
        }
        Ok(())
    }
}

impl Site {
    fn open(site: SiteId) -> anyhow::Result<Self> {
        let opened = Self { warehouse: Warehouse::in_memory(MemoryImage::default(), WORLD.warehouse(site))? };
        opened.apply(&Command::AdoptRegister { site_time: SiteTime(1), pinned: WORLD.centre.public_key(), signed: WORLD.signed.clone() })?;
        Ok(opened)
    }

    fn apply(&self, command: &Command) -> anyhow::Result<Outcome> {
        self.warehouse.apply(&AppliedMark::default(), Some(command))?.context("a command has an outcome")
    }

    fn position(&self) -> anyhow::Result<StreamPosition> {
        let state = self.warehouse.origin(ORIGIN)?.context("the stream has begun")?;
        let head = self.warehouse.read(|reading| reading.newest_head(ORIGIN, &state))?.context("a head stands")?.head;
        Ok(StreamPosition {
            origin: ORIGIN,
            epoch: head.epoch,
            next: head.seq.next(),
            oldest_kept: state.oldest_kept,
            head_time: head.site_time,
        })
    }

    fn segment(&self, origin: OriginId, from: Cursor, bytes_max: usize) -> anyhow::Result<Result<Segment, LoadFailure>> {
        let state = self.warehouse.origin(origin)?.context("the stream has begun")?;
        Ok(match self.warehouse.segment(origin, from.next, bytes_max)? {
            Some(segment) => Ok(segment),
            None if from.next < state.oldest_kept => Err(LoadFailure::NoLongerKept { oldest_kept: state.oldest_kept }),
            None => Err(LoadFailure::NoSuchPlace),
        })
    }

    fn cursors(&self, origins: &[OriginId], authored: &[OriginId]) -> anyhow::Result<CursorsHeld> {
        let mut cursors = Vec::new();
        for origin in origins {
            cursors.extend(self.warehouse.origin(*origin)?.map(|state| state.cursor(*origin)));
        }
        let mut heads = Vec::new();
        for origin in authored {
            heads.extend(self.warehouse.read(|reading| match reading.origin(*origin)? {
                Some(state) => reading.furthest_head(*origin, &state),
                None => Ok(None),
            })?);
        }
        Ok(CursorsHeld { cursors, transfers: self.warehouse.transfers()?.iter().map(Transfer::status).collect(), heads })
    }
}
