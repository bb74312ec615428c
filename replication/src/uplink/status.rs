//! What the uplink shows operators about itself.

use std::collections::BTreeMap;

use kho_storage::{
    command::RowPlace,
    ids::{OriginId, SiteId, SiteTime},
    level::LevelOffer,
};

use super::{
    LinkFailure, ParkReason, Uplink,
    link::LinkState,
    progress::{Progress, Step},
    stream::Stream,
};
use crate::{frames::Cursor, link_time::LinkTime};

/// The uplink at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UplinkStatus {
    pub link: LinkStatus,
    /// The parent whose turn it is.
    pub parent: Option<SiteId>,
    /// Whether that is a stand-in.
    pub stand_in: bool,
    /// Why the last link ended; none once a link has proved itself.
    pub last_failure: Option<LinkFailure>,
    /// Plain bytes loaded or unanswered.
    pub in_flight_bytes: usize,
    pub streams: Vec<UplinkStreamStatus>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkStatus {
    /// Not the leader, or no parent.
    Standby,
    Waiting {
        until: LinkTime,
    },
    Dialling,
    Greeting,
    Open {
        since: LinkTime,
        /// What the parent says of its level.
        parent_levels: LevelOffer,
    },
}

/// One stream on its way up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UplinkStreamStatus {
    pub origin: OriginId,
    pub state: StreamState,
    /// What this site holds, up to its newest committed head.
    pub held: Cursor,
    pub head_time: SiteTime,
    /// What the parent in turn was last known to hold, also while the link is down. None: not known.
    pub acknowledged: Option<Cursor>,
    pub in_flight_bytes: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamState {
    /// Where the parent stands is not known now.
    Unknown,
    CaughtUp,
    Sending,
    /// The parent is busy.
    Waiting {
        until: LinkTime,
    },
    /// Refused; other streams go on.
    Parked {
        reason: ParkReason,
        retry_at: LinkTime,
    },
    /// The parent holds more than this site.
    ParentAhead {
        cursor: Cursor,
    },
    /// The whole origin is being sent; the next range starts here.
    Transferring {
        from: RowPlace,
    },
}

impl LinkStatus {
    /// The stable code of the state.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Standby => "standby",
            Self::Waiting { .. } => "waiting",
            Self::Dialling => "dialling",
            Self::Greeting => "greeting",
            Self::Open { .. } => "open",
        }
    }
}

impl StreamState {
    /// The stable code of the state.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::CaughtUp => "caught_up",
            Self::Sending => "sending",
            Self::Waiting { .. } => "waiting",
            Self::Parked { .. } => "parked",
            Self::ParentAhead { .. } => "parent_ahead",
            Self::Transferring { .. } => "transferring",
        }
    }
}

impl Uplink {
    /// How things stand.
    pub fn status(&self) -> UplinkStatus {
        let mut in_flight: BTreeMap<OriginId, usize> = BTreeMap::new();
        let mut in_flight_bytes = 0;
        let link = match &self.link {
            LinkState::Standby => LinkStatus::Standby,
            LinkState::Waiting { until } => LinkStatus::Waiting { until: *until },
            LinkState::Dialling { .. } => LinkStatus::Dialling,
            LinkState::Greeting { .. } => LinkStatus::Greeting,
            LinkState::Open(open) => {
                in_flight_bytes = open.in_flight_bytes();
                in_flight = open.in_flight_by_origin();
                LinkStatus::Open { since: open.opened_at, parent_levels: open.parent_levels }
            }
        };
        let parent = self.parents.current().map(|parent| parent.site);
        let streams = self
            .streams
            .iter()
            .map(|(origin, stream)| UplinkStreamStatus {
                origin: *origin,
                state: state(stream),
                held: stream.held.cursor(),
                head_time: stream.held.head_time,
                acknowledged: parent.and_then(|parent| stream.known_at(parent)),
                in_flight_bytes: in_flight.get(origin).copied().unwrap_or(0),
            })
            .collect();
        UplinkStatus {
            link,
            parent,
            stand_in: self.parents.preferred().is_some(),
            last_failure: self.last_failure.clone(),
            in_flight_bytes,
            streams,
        }
    }
}

fn state(stream: &Stream) -> StreamState {
    match &stream.progress {
        Progress::Unqueried | Progress::CursorRequested { .. } => StreamState::Unknown,
        Progress::Sending(window) if window.is_caught_up(&stream.held) => StreamState::CaughtUp,
        Progress::Sending(_) => StreamState::Sending,
        Progress::Waiting { until, .. } => StreamState::Waiting { until: *until },
        Progress::Parked { reason, retry_at, .. } => StreamState::Parked { reason: reason.clone(), retry_at: *retry_at },
        Progress::Ahead { cursor, .. } => StreamState::ParentAhead { cursor: *cursor },
        Progress::Transferring(Step::Start | Step::StartUnderWay) => StreamState::Transferring { from: RowPlace::default() },
        Progress::Transferring(Step::Piece { from, .. } | Step::PieceUnderWay { from, .. }) => {
            StreamState::Transferring { from: from.clone() }
        }
    }
}
