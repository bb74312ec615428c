//! The level of the site: which levels its members support, and raising it.
//!
//! The leader asks every member, voters and learners, at the time: what was known before says nothing about a node that was rolled back
//! since. A site with a parent follows it, so that no stream holds what an ancestor can't adopt. A node that is rolled back after it was asked stops when it would apply the new level, before it applies anything beyond.

use std::time::{Duration, Instant};

use futures::future::join_all;
use kho_storage::{
    build::Build,
    codec,
    command::{Command, Outcome},
    ids::NodeId,
    level::{Level, LevelRange},
};
use tokio::time::{sleep, timeout};

use super::{
    Consensus, MembersError, ProposeError,
    error::{PeerError, PeerRefusal},
    members::{MembersChange, NotDone, voters_of},
    peers::{
        PeerTarget,
        newcomers::Greeting,
        wire::{HelloReply, Subject},
    },
    propose::AtLeader,
    types::CommandBytes,
};

/// How long a member may take to say what it supports.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);
const RETRY_MS: u64 = 1_000;

/// What a member of the site supports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberLevels {
    pub node: NodeId,
    pub voter: bool,
    /// Levels that its build supports, or why they are not known.
    pub supported: Result<LevelRange, String>,
    /// Which build that is, if it said so.
    pub build: Option<Build>,
}

impl Consensus {
    /// Asks every member, in the order of their ids, which levels it supports.
    pub async fn member_levels(&self) -> Vec<MemberLevels> {
        let membership = self.membership();
        let voters = voters_of(&membership);
        let targets: Vec<PeerTarget> = membership.nodes().map(|(id, record)| PeerTarget::of_member(*id, record)).collect();
        let voters = &voters;
        join_all(targets.into_iter().map(|target| async move {
            let (supported, build) = match self.ask_levels(&target).await {
                Ok((supported, build)) => (Ok(supported), build),
                Err(why) => (Err(why), None),
            };
            MemberLevels { node: target.node, voter: voters.contains(&target.node), supported, build }
        }))
        .await
    }

    /// Raises the level of the site, for good. With `dry_run` everything is checked and nothing raised. Any node takes it and passes it
    /// to the leader.
    ///
    /// # Errors
    /// [`MembersError`]; nothing was raised then.
    pub async fn raise_level(&self, to: Level, dry_run: bool) -> Result<(), MembersError> {
        self.change(MembersChange::RaiseLevel { to, dry_run }).await
    }

    /// Says at which level the parent's site works; `None` while no link to it stands.
    pub fn note_parent_level(&self, level: Option<Level>) {
        *self.parent_level.lock() = level;
    }

    /// Whether the site has a parent; `None` when it has no register that says so.
    fn has_parent(&self) -> Option<bool> {
        self.warehouse.register()?.site(self.warehouse.site()).map(|site| !site.parents.is_empty())
    }

    /// A site follows its parent, a root none.
    fn check_parent(&self, to: Level) -> Result<(), MembersError> {
        match (self.has_parent(), *self.parent_level.lock()) {
            (None, _) => Err(MembersError::ParentUnknown),
            (Some(false), _) => Ok(()),
            (Some(true), Some(parent)) if parent >= to => Ok(()),
            (Some(true), Some(parent)) => Err(MembersError::ParentLower { parent, to }),
            (Some(true), None) => Err(MembersError::ParentLevelUnknown),
        }
    }

    pub(super) async fn raise_here(&self, to: Level, dry_run: bool) -> Result<(), NotDone> {
        let held = self.warehouse.level();
        if to < held {
            return Err(MembersError::LevelHigher { held, to }.into());
        }
        if to > held {
            self.check_parent(to)?;
        }
        for member in self.member_levels().await {
            let node = member.node;
            match member.supported {
                Ok(supported) if supported.holds(to) => {}
                Ok(supported) => return Err(MembersError::LevelNotSupported { node, level: to, supported }.into()),
                Err(why) => return Err(MembersError::LevelsUnknown { node, why }.into()),
            }
        }
        if dry_run {
            return Ok(());
        }
        let command = Command::RaiseLevel { to };
        let bytes = CommandBytes::encode(&command).map_err(|e| MembersError::Fatal { why: e.to_string() })?;
        let written = timeout(self.limits.propose_timeout, self.write(&command, bytes)).await;
        let no_outcome = || AtLeader::Failed(ProposeError::Unknown { why: "no majority has agreed to it in time".into() });
        match written.unwrap_or_else(|_| no_outcome()) {
            AtLeader::Outcome(Outcome::LevelStands { level }) if level >= to => Ok(()),
            AtLeader::Outcome(other) => Err(MembersError::Fatal { why: format!("raising the level came to {other:?}") }.into()),
            AtLeader::NotLeader(_) => Err(NotDone::NotLeader),
            AtLeader::Failed(ProposeError::Unknown { why }) => Err(MembersError::LevelUnknown { to, why }.into()),
            AtLeader::Failed(error) => Err(MembersError::NoLeader { why: error.to_string(), retry_after_ms: RETRY_MS }.into()),
        }
    }

    async fn ask_levels(&self, target: &PeerTarget) -> Result<(LevelRange, Option<Build>), String> {
        if target.node == self.node() {
            return Ok((self.peers.local().levels, Some(Build::THIS)));
        }
        let deadline = Instant::now() + ASK_TIMEOUT;
        let nothing = codec::encode(&None::<Greeting>).map_err(|e| e.to_string())?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match timeout(left, self.peers.call(target, Subject::Hello, &nothing)).await {
                Ok(Ok(reply)) => {
                    let hello: HelloReply = reply.read().map_err(|e| e.to_string())?;
                    return Ok((hello.levels, Some(hello.build)));
                }
                Ok(Err(PeerError::Refused(PeerRefusal::NoCommonLevel { here, .. }))) => return Ok((here, None)),
                // A node that has just started again is dialled again only after a pause.
                Ok(Err(PeerError::Unreachable(_) | PeerError::Lost(_))) if Instant::now() + PAUSE < deadline => sleep(PAUSE).await,
                Ok(Err(error)) => return Err(error.to_string()),
                Err(_) => return Err(format!("no answer within {ASK_TIMEOUT:?}")),
            }
        }
    }
}
