//! The state of the link to a parent, and what is under way on it.
//!
//! Invariant: `in_flight_bytes` is the sum of what is unanswered and what loads reserve (checked by [`OpenLink::in_flight_by_origin`]).

use std::collections::BTreeMap;

use kho_storage::{
    command::RowPlace,
    ids::{Generation, OriginId, SiteId, SiteTime},
    level::{Level, LevelOffer},
};

use super::{
    config::UplinkConfig,
    input::{LinkId, LoadId},
};
use crate::{
    frames::{Cursor, FrameId, Welcome},
    link_time::LinkTime,
};

/// The link. Its transitions stand in `connect.rs`.
///
/// ```text
/// Standby ──leads, has a parent──▶ Waiting ──time──▶ Dialling ──opened──▶ Greeting ──Welcome──▶ Open
///    ▲                                ▲                  │                   │                    │
///    └──────no longer leads───────────┴──lost, refused, timed out────────────┴────────────────────┘
/// ```
#[derive(Debug)]
pub(super) enum LinkState {
    /// Not the leader, or no parent to speak to.
    Standby,
    Waiting {
        until: LinkTime,
    },
    Dialling {
        link: LinkId,
        parent: SiteId,
        until: LinkTime,
    },
    Greeting {
        link: LinkId,
        parent: SiteId,
        until: LinkTime,
    },
    Open(OpenLink),
}

impl LinkState {
    /// The connection that the state stands on.
    pub fn id(&self) -> Option<LinkId> {
        match self {
            Self::Standby | Self::Waiting { .. } => None,
            Self::Dialling { link, .. } | Self::Greeting { link, .. } => Some(*link),
            Self::Open(open) => Some(open.link),
        }
    }
}

/// A link on which the parent said welcome.
#[derive(Debug)]
pub(super) struct OpenLink {
    pub link: LinkId,
    pub parent: SiteId,
    /// What the parent says of its level.
    pub parent_levels: LevelOffer,
    /// The level at which both ends work.
    pub level: Level,
    pub opened_at: LinkTime,
    /// Plain bytes that may be loaded or unanswered: the smaller of what both sides allow.
    pub in_flight_bytes_max: usize,
    /// When a frame of the parent came last, or bytes moved in either direction.
    pub last_moved: LinkTime,
    /// Whether the parent acknowledged anything on this link.
    pub proved: bool,
    /// When the oldest request for cursors was sent that the parent has not answered, and when it has left at the latest.
    pub cursors_requested: Option<(LinkTime, LinkTime)>,
    pub unanswered: BTreeMap<FrameId, Unanswered>,
    pub loads: BTreeMap<LoadId, Load>,
    /// Plain bytes of `unanswered` and what `loads` reserve.
    in_flight_bytes: usize,
    last_id: FrameId,
}

/// A frame that the parent has not answered yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unanswered {
    pub origin: OriginId,
    /// The stream's placement when it was sent; an answer to an older one no longer steers the stream.
    pub placement: u32,
    pub what: Sent,
    pub bytes: usize,
    pub sent_at: LinkTime,
    /// When it has left at the latest: at the lowest rate, behind all that was under way before it.
    pub leaves_by: LinkTime,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sent {
    Segment { from: Cursor, end: Cursor, head_time: SiteTime },
    TransferStart,
    Piece { generation: Generation, from: RowPlace },
}

/// A read under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Load {
    pub origin: OriginId,
    pub placement: u32,
    pub from: Cursor,
    pub bytes: usize,
}

impl OpenLink {
    pub fn new(link: LinkId, welcome: &Welcome, in_flight_bytes_max: usize, now: LinkTime) -> Self {
        Self {
            link,
            parent: welcome.site,
            parent_levels: welcome.levels,
            level: welcome.level,
            opened_at: now,
            in_flight_bytes_max,
            last_moved: now,
            proved: false,
            cursors_requested: None,
            unanswered: BTreeMap::new(),
            loads: BTreeMap::new(),
            in_flight_bytes: 0,
            last_id: FrameId(0),
        }
    }

    pub fn window_is_full(&self) -> bool {
        self.in_flight_bytes >= self.in_flight_bytes_max
    }

    pub fn in_flight_bytes(&self) -> usize {
        self.in_flight_bytes
    }

    /// Unanswered plain bytes of each stream.
    ///
    /// # Panics
    /// When the running sum is not what is unanswered and loading: a defect of this side, whatever the parent sends.
    pub fn in_flight_by_origin(&self) -> BTreeMap<OriginId, usize> {
        let mut by_origin: BTreeMap<OriginId, usize> = BTreeMap::new();
        for frame in self.unanswered.values() {
            *by_origin.entry(frame.origin).or_default() += frame.bytes;
        }
        let loading: usize = self.loads.values().map(|load| load.bytes).sum();
        assert_eq!(self.in_flight_bytes, by_origin.values().sum::<usize>() + loading, "bytes in flight are what is unanswered and loading");
        by_origin
    }

    pub fn load_started(&mut self, id: LoadId, load: Load) {
        self.in_flight_bytes += load.bytes;
        let before = self.loads.insert(id, load);
        assert!(before.is_none(), "numbers of loads are never reused");
    }

    pub fn load_ended(&mut self, id: LoadId) -> Option<Load> {
        let load = self.loads.remove(&id)?;
        self.in_flight_bytes -= load.bytes;
        self.assert_nothing_left_over();
        Some(load)
    }

    pub fn sent(&mut self, frame: Unanswered) -> FrameId {
        self.last_id = FrameId(self.last_id.0 + 1);
        self.in_flight_bytes += frame.bytes;
        self.unanswered.insert(self.last_id, frame);
        self.last_id
    }

    pub fn answered(&mut self, id: FrameId) -> Option<Unanswered> {
        let frame = self.unanswered.remove(&id)?;
        self.in_flight_bytes -= frame.bytes;
        self.assert_nothing_left_over();
        Some(frame)
    }

    fn assert_nothing_left_over(&self) {
        assert!(self.in_flight_bytes == 0 || !(self.unanswered.is_empty() && self.loads.is_empty()), "nothing under way takes no bytes");
    }

    /// Whether an answer of the parent is overdue.
    pub fn answer_is_overdue(&self, config: &UplinkConfig, now: LinkTime) -> bool {
        let oldest_frame = self.unanswered.values().next().map(|frame| (frame.sent_at, frame.leaves_by));
        oldest_frame.into_iter().chain(self.cursors_requested).min().is_some_and(|(sent_at, leaves_by)| {
            let silent_ms = now.ms_since(sent_at).min(now.ms_since(self.last_moved));
            now.ms_since(leaves_by) > config.answer_timeout_ms || silent_ms > config.idle_timeout_ms
        })
    }

    /// When what is sent now has left, at the lowest rate that a link may have: it waits behind all that is under way.
    pub fn leaves_by(&self, bytes: usize, config: &UplinkConfig, now: LinkTime) -> LinkTime {
        let bytes = u64::try_from(self.in_flight_bytes.saturating_add(bytes)).unwrap_or(u64::MAX);
        now.after_ms(bytes.saturating_mul(1_000) / config.link_bytes_per_second_min.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_long_to_leave_is_awaited_from_then_on_and_silence_ends_the_link() {
        let (config, bytes) = (UplinkConfig::default(), 8 << 20);
        let levels = LevelOffer::default();
        let (registers, cursors, transfers, heads) = (vec![], vec![], vec![], vec![]);
        let welcome =
            Welcome { levels, level: Level(1), site: SiteId(2), registers, cursors, transfers, heads, in_flight_bytes_max: u32::MAX };
        let mut link = OpenLink::new(LinkId(1), &welcome, usize::MAX, LinkTime(0));
        let frame = |link: &OpenLink| Unanswered {
            origin: OriginId(3),
            placement: 0,
            what: Sent::TransferStart,
            bytes,
            sent_at: LinkTime(0),
            leaves_by: link.leaves_by(bytes, &config, LinkTime(0)),
        };
        let (first, second) = (frame(&link), {
            let first = frame(&link);
            link.sent(first);
            frame(&link)
        });
        assert!(first.leaves_by.ms_since(LinkTime(0)) > config.answer_timeout_ms, "it is slow");
        assert_eq!(second.leaves_by.0, 2 * first.leaves_by.0, "it waits behind the first");
        let silent = LinkTime(config.idle_timeout_ms);
        assert!(!link.answer_is_overdue(&config, silent) && link.answer_is_overdue(&config, silent.after_ms(1)));
        let last = first.leaves_by.after_ms(config.answer_timeout_ms);
        link.last_moved = last;
        assert!(!link.answer_is_overdue(&config, last), "bytes move, and it may just have left");
        link.last_moved = last.after_ms(1);
        assert!(link.answer_is_overdue(&config, last.after_ms(1)), "it must have left long ago");
    }
}
