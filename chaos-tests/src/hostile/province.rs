//! Carries out attacks with a node's keys and certificate and its data, each attack over a link of its own to the parent.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context as _, bail, ensure};
use kho_node::{
    config::NodeConfig,
    daemon::{Checked, check},
};
use kho_replication::{
    frames::{CHILD_FRAME_BYTES_MAX, ChildFrame, Compressed, Cursor, FrameId, Hello, SEGMENT_PLAIN_BYTES_MAX, StreamHeld},
    quic::{Endpoint, TransportLimits},
    tls::CertificateClock,
};
use kho_storage::{
    codec::Blob,
    command::{TransferPiece, TransferStart, TransferStatus},
    ids::{Epoch, Generation, Hash32, NodeId, OriginId, SiteId, StreamSeq},
    level::LevelOffer,
    signature::SigningKey,
    stream::Segment,
};

use super::{Answer, Attack, HonestData, HostileLink, forge};

/// Stands in no register of a test.
const INVENTED: OriginId = OriginId(4_000_000_000);
/// One layer of a bomb, and how many are laid upon each other: together far more than a node may take.
const BOMB_LAYER_BYTES: usize = 60 << 20;
const BOMB_LAYERS: usize = 20;
/// Each takes one byte in a segment and 24 in memory.
const BATCHES_OF_NOTHING: usize = 8 << 20;
/// Longer than a frame of the transport may be.
const ENDLESS_FRAME_BYTES: usize = 48 << 20;
/// A parent has begun fewer transfers of an origin than this in any test.
const GENERATIONS_GUESSED: u32 = 32;
/// Pieces and segments of one transfer; no test has more.
const TRANSFER_STEPS_MAX: usize = 1000;

/// How a piece of a transfer is altered.
type AlterPiece<'a> = &'a mut dyn FnMut(&mut TransferPiece) -> anyhow::Result<()>;

/// A hostile node of a province. See the module.
pub struct HostileProvince {
    site: SiteId,
    node: NodeId,
    parent: SiteId,
    parent_at: SocketAddr,
    signing_key: SigningKey,
    endpoint: Endpoint,
    honest_data: HonestData,
}

impl HostileProvince {
    /// Takes the keys, the certificate and a copy of the data of the stopped node whose configuration stands in `dir`. The parent
    /// is the register's, at its first address, unless `parent_at` gives another.
    ///
    /// # Errors
    /// When a file can't be read, the node still runs, or its site has no parent.
    pub fn open(dir: &Path, parent_at: Option<SocketAddr>) -> anyhow::Result<Self> {
        let Checked { config, credentials, signing_key, .. } = check(NodeConfig::load(&dir.join("khod.toml"))?)?;
        let honest_data = HonestData::copied_from(&config)?;
        let parent =
            honest_data.register().active_parent(config.site).with_context(|| format!("site {} has no parent to attack", config.site))?;
        let parent_at = match parent_at {
            Some(at) => at,
            None => {
                let address = honest_data.register().site(parent).and_then(|entry| entry.addresses.first());
                let address = address.with_context(|| format!("the register gives no address of site {parent}; give one with --at"))?;
                address.parse().with_context(|| format!("{address} is no address with a port; give one with --at"))?
            }
        };
        // This transport sends what the parent's transport must refuse.
        let limits = TransportLimits { frame_bytes_max: u32::MAX, ..TransportLimits::default() };
        let endpoint = Endpoint::bind(([127, 0, 0, 1], 0).into(), &credentials, CertificateClock::system(), limits)?;
        Ok(Self { site: config.site, node: config.node, parent, parent_at, signing_key, endpoint, honest_data })
    }

    pub fn honest_data(&self) -> &HonestData {
        &self.honest_data
    }

    /// Carries out one attack on `origin` over a link of its own and returns the parent's last answer.
    ///
    /// # Errors
    /// When the parent can't be reached or does not answer, or when the data do not allow the attack. A refusal is no error.
    pub async fn perform(&self, attack: Attack, origin: OriginId) -> anyhow::Result<Answer> {
        let mut link = HostileLink::dial(&self.endpoint, self.parent, self.parent_at).await?;
        let answer = match attack {
            Attack::SpeakBeforeHello => {
                let segment = self.honest_data.segment_within(origin, StreamSeq(1), 1)?;
                link.segment(&segment).await?
            }
            Attack::ImpersonateAuthor => {
                let author = self.honest_data.register().author(origin).context("the register knows no such origin")?;
                link.greet(Hello { site: author, ..self.hello(self.honest_data.streams()?) }).await?
            }
            Attack::ClaimCursors => self.claim_cursors(&mut link, origin).await?,
            Attack::InventOrigin => {
                link.greet(self.hello(vec![])).await?;
                let invented = StreamHeld {
                    origin: INVENTED,
                    epoch: Epoch::first("invented", INVENTED),
                    next: StreamSeq(9),
                    oldest_kept: StreamSeq(1),
                };
                link.request(&ChildFrame::Streams(vec![invented])).await?
            }
            Attack::SendUnrequested => {
                link.greet(self.hello(vec![])).await?;
                let segment = self.honest_data.segment_within(origin, StreamSeq(1), 1)?;
                link.segment(&segment).await?
            }
            _ => {
                let welcome = link.greet(self.hello(self.honest_data.streams()?)).await?;
                ensure!(welcome == Answer::Welcomed, "the parent does not let the province in: {welcome:?}");
                let cursor = link.cursor(origin)?;
                self.attack(&mut link, attack, origin, cursor).await?
            }
        };
        link.leave().await;
        Ok(answer)
    }

    /// Does what an honest province does: carries the next batches of `origin` up to a head, as many as fit `bytes_max`.
    ///
    /// # Errors
    /// When the parent can't be reached or does not adopt them.
    pub async fn carry_honestly(&self, origin: OriginId, bytes_max: usize) -> anyhow::Result<()> {
        let mut link = HostileLink::dial(&self.endpoint, self.parent, self.parent_at).await?;
        link.greet(self.hello(self.honest_data.streams()?)).await?;
        let segment = self.honest_data.segment_within(origin, link.cursor(origin)?.next, bytes_max)?;
        let answer = link.segment(&segment).await?;
        link.leave().await;
        ensure!(
            matches!(answer, Answer::Adopted { .. }),
            "an honest segment of origin {origin} from {} on was answered with {answer:?}",
            segment.first
        );
        Ok(())
    }

    /// Begins what an honest carrier of `data` begins: a transfer of the whole origin. Returns where the parent says that it stands, now or
    /// since an earlier time.
    ///
    /// # Errors
    /// When the parent can't be reached or takes no transfer from this carrier.
    pub async fn begin_honestly(&self, data: &HonestData, origin: OriginId) -> anyhow::Result<TransferStatus> {
        let mut link = HostileLink::dial(&self.endpoint, self.parent, self.parent_at).await?;
        link.greet(self.hello(data.streams()?)).await?;
        let answer = link.transfer_start(data.transfer_start(origin, link.cursor(origin)?)?).await?;
        link.leave().await;
        match answer {
            Answer::Wants(status) => Ok(status),
            other => bail!("an honest transfer of origin {origin} was answered with {other:?}"),
        }
    }

    fn hello(&self, streams: Vec<StreamHeld>) -> Hello {
        Hello {
            levels: LevelOffer::default(),
            site: self.site,
            node: self.node,
            register_version: self.honest_data.register().version(),
            register_hash: self.honest_data.register().hash(),
            streams,
        }
    }

    /// The attacks that begin with an honest Hello.
    async fn attack(&self, link: &mut HostileLink, attack: Attack, origin: OriginId, cursor: Cursor) -> anyhow::Result<Answer> {
        match attack {
            Attack::EditRow => self.forged(link, origin, cursor, forge::edit_first_row).await,
            Attack::CutRow => self.forged(link, origin, cursor, forge::cut_row).await,
            Attack::AddRow => self.forged(link, origin, cursor, forge::add_row).await,
            Attack::ColumnAboveLevel => self.forged(link, origin, cursor, forge::add_later_column).await,
            Attack::ReorderBatches => self.forged(link, origin, cursor, |segment| forge::swap_batches(segment, false)).await,
            Attack::RenumberBatches => self.forged(link, origin, cursor, |segment| forge::swap_batches(segment, true)).await,
            Attack::LeaveOutBatch => {
                self.forged(link, origin, cursor, |segment| {
                    forge::leave_out_batch(segment);
                    Ok(())
                })
                .await
            }
            Attack::SkipBatches => {
                self.forged(link, origin, cursor, |segment| {
                    forge::skip_batch(segment);
                    Ok(())
                })
                .await
            }
            Attack::InventBatch => {
                self.forged(link, origin, cursor, |segment| {
                    forge::invent_batch(segment).and_then(|()| self.resign(segment, cursor, Some(origin)))
                })
                .await
            }
            Attack::ClaimOtherEpoch => {
                self.forged(link, origin, cursor, |segment| {
                    forge::claim_other_epoch(segment).and_then(|()| self.resign(segment, cursor, Some(origin)))
                })
                .await
            }
            Attack::ResignAsAuthor => {
                self.forged(link, origin, cursor, |segment| {
                    forge::edit_first_row(segment).and_then(|()| self.resign(segment, cursor, Some(origin)))
                })
                .await
            }
            Attack::ResignAsSelf => {
                self.forged(link, origin, cursor, |segment| {
                    forge::edit_first_row(segment).and_then(|()| self.resign(segment, cursor, None))
                })
                .await
            }
            Attack::EditHeldRow | Attack::EditHeldRowAndGoOn | Attack::ReplayOld | Attack::WithholdNewest => {
                self.send_old(link, attack, origin, cursor).await
            }
            Attack::FrameAboveLevel => link.request(&ChildFrame::TestLevel).await,
            Attack::FramesOutOfOrder => {
                link.count_from(FrameId(7));
                self.send_old(link, Attack::WithholdNewest, origin, cursor).await?;
                link.count_from(FrameId(3));
                self.send_old(link, Attack::WithholdNewest, origin, cursor).await
            }
            Attack::Bomb => {
                let layer = Compressed::<Blob>::pack(&Blob(vec![0; BOMB_LAYER_BYTES]), usize::MAX)?;
                link.packed_segment(origin, Compressed::received(SEGMENT_PLAIN_BYTES_MAX as u32, Blob(layer.zstd.repeat(BOMB_LAYERS))))
                    .await
            }
            Attack::BombDeclared => {
                let layer = Compressed::<Blob>::pack(&Blob(vec![0; BOMB_LAYER_BYTES]), usize::MAX)?;
                link.packed_segment(origin, Compressed::received(2 * SEGMENT_PLAIN_BYTES_MAX as u32, layer.zstd)).await
            }
            Attack::BombOfNothing => {
                let honest = self.honest_data.segment(origin, cursor)?;
                let segment = Segment { batches: vec![Blob::default(); BATCHES_OF_NOTHING], ..honest };
                link.segment(&segment).await
            }
            Attack::LongFrame => link.request_raw(&vec![0; CHILD_FRAME_BYTES_MAX + 1]).await,
            Attack::EndlessFrame => link.request_raw(&vec![0; ENDLESS_FRAME_BYTES]).await,
            Attack::Garbage => link.request_raw(&[0xff; 100]).await,
            _ => self.forged_transfer(link, attack, origin, cursor).await,
        }
    }

    /// All that the parent lacks of the origin as one segment, altered.
    async fn forged(
        &self,
        link: &mut HostileLink,
        origin: OriginId,
        cursor: Cursor,
        alter: impl FnOnce(&mut Segment) -> anyhow::Result<()>,
    ) -> anyhow::Result<Answer> {
        let mut segment = self.honest_data.segment(origin, cursor)?;
        alter(&mut segment)?;
        link.segment(&segment).await
    }

    /// Signs with the province's own key, in the name of an origin's author or in its own.
    fn resign(&self, segment: &mut Segment, cursor: Cursor, in_the_name_of: Option<OriginId>) -> anyhow::Result<()> {
        let author = in_the_name_of.and_then(|origin| self.honest_data.register().author(origin)).unwrap_or(self.site);
        let before = self.honest_data.chain_before(segment.origin(), cursor.next)?;
        forge::sign_anew(segment, before, author, self.node, &self.signing_key)
    }

    /// Sends what the parent already holds: unchanged, altered, or its head alone.
    async fn send_old(&self, link: &mut HostileLink, attack: Attack, origin: OriginId, cursor: Cursor) -> anyhow::Result<Answer> {
        ensure!(cursor.next.0 > 2, "the parent holds too little of origin {origin} for this attack");
        let mut old = self.honest_data.segment_within(origin, StreamSeq(1), 1)?;
        match attack {
            Attack::EditHeldRow => forge::edit_first_row(&mut old)?,
            Attack::EditHeldRowAndGoOn => {
                old = self.honest_data.segment_within(origin, StreamSeq(1), usize::MAX)?;
                ensure!(old.head.head.seq >= cursor.next, "the parent holds all of origin {origin}");
                forge::edit_first_row(&mut old)?;
            }
            Attack::WithholdNewest => {
                // The head at which the parent stands, without its batches.
                while old.head.head.seq.next() < cursor.next {
                    old = self.honest_data.segment_within(origin, old.head.head.seq.next(), 1)?;
                }
                old = Segment { first: old.head.head.seq.next(), batches: vec![], head: old.head };
            }
            _ => {}
        }
        link.segment(&old).await
    }

    async fn claim_cursors(&self, link: &mut HostileLink, origin: OriginId) -> anyhow::Result<Answer> {
        let mut streams = self.honest_data.streams()?;
        streams.iter_mut().for_each(|held| (held.next, held.oldest_kept) = (StreamSeq(u64::MAX), StreamSeq(u64::MAX - 1)));
        let answer = link.greet(self.hello(streams)).await?;
        let (named, held) = (link.cursor(origin)?, self.honest_data.origin(origin)?);
        ensure!(named.next <= held.next, "the parent believes that it holds {named} of origin {origin}");
        Ok(answer)
    }

    async fn forged_transfer(&self, link: &mut HostileLink, attack: Attack, origin: OriginId, cursor: Cursor) -> anyhow::Result<Answer> {
        let mut start = self.honest_data.transfer_start(origin, cursor)?;
        // A later batch would overwrite a forged row that it writes again.
        let for_good = start.kept_after;
        let mut done = false;
        match attack {
            Attack::TransferWrongChain => {
                start.kept_after_chain = Hash32::of(&start.kept_after_chain.0);
                self.transfer(link, start, &mut |_| Ok(())).await
            }
            Attack::TransferOtherEpoch => {
                start.epoch.id ^= 1;
                self.transfer(link, start, &mut |_| Ok(())).await
            }
            Attack::TransferUnneeded => {
                start.kept_after = cursor.next.previous();
                self.transfer(link, start, &mut |_| Ok(())).await
            }
            Attack::TransferEditedRow => {
                self.transfer(link, start, &mut |piece| {
                    done |= forge::edit_piece_row(piece, |row| !done && row.seq <= for_good)?;
                    Ok(())
                })
                .await
            }
            Attack::TransferOtherHistory => {
                self.transfer(link, start, &mut |piece| {
                    done |= forge::edit_piece_row(piece, |row| !done && row.seq < cursor.next)?;
                    ensure!(done || piece.next.is_some(), "the parent holds no row of origin {origin} that could be changed");
                    Ok(())
                })
                .await
            }
            Attack::TransferMissingRow => {
                self.transfer(link, start, &mut |piece| {
                    if let (false, Some(place)) = (done, piece.rows.iter().position(|row| row.seq <= for_good)) {
                        piece.rows.remove(place);
                        done = true;
                    }
                    Ok(())
                })
                .await
            }
            Attack::TransferExtraRow => {
                self.transfer(link, start, &mut |piece| match piece.next {
                    None => forge::add_piece_row(piece),
                    Some(_) => Ok(()),
                })
                .await
            }
            Attack::TransferOutOfOrder => {
                self.transfer(link, start, &mut |piece| {
                    piece.rows.swap(0, 1);
                    Ok(())
                })
                .await
            }
            Attack::BlockByTransfer => {
                let begun = link.transfer_start(start).await?;
                let Answer::Wants(TransferStatus::WantsPiece { generation, .. }) = begun else { return Ok(begun) };
                let mut nothing = self.honest_data.piece(origin, &Default::default())?;
                (nothing.rows, nothing.next) = (vec![], None);
                link.piece(generation, &nothing).await
            }
            Attack::ContinueOthersTransfer => {
                let mut piece = self.honest_data.piece(origin, &Default::default())?;
                piece.rows.clear();
                let mut answer = Answer::Busy;
                for generation in 1..=GENERATIONS_GUESSED {
                    answer = link.piece(Generation(generation), &piece).await?;
                    if !matches!(answer, Answer::Refused(_)) {
                        break;
                    }
                }
                Ok(answer)
            }
            Attack::ReplaceOthersTransfer => {
                (start.kept_after, start.kept_after_chain) = (StreamSeq(1 << 40), Hash32::of(b"invented"));
                link.transfer_start(start).await
            }
            _ => bail!("{} is no transfer", attack.name()),
        }
    }

    /// A whole-origin transfer to its end, in which every piece is altered and every batch is honest.
    async fn transfer(&self, link: &mut HostileLink, start: TransferStart, alter: AlterPiece<'_>) -> anyhow::Result<Answer> {
        let origin = start.origin;
        let mut answer = link.transfer_start(start).await?;
        for _ in 0..TRANSFER_STEPS_MAX {
            answer = match &answer {
                Answer::Wants(TransferStatus::WantsPiece { generation, from, .. }) => {
                    let mut piece = self.honest_data.piece(origin, from)?;
                    alter(&mut piece)?;
                    link.piece(*generation, &piece).await?
                }
                Answer::Wants(TransferStatus::WantsBatches { next, .. }) => {
                    link.segment(&self.honest_data.segment_within(origin, *next, usize::MAX)?).await?
                }
                _ => return Ok(answer),
            };
        }
        bail!("the transfer of origin {origin} does not come to an end")
    }
}
