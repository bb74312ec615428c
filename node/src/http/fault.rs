//! Why a request was refused, and what an order did: one kind a text. What is wrong with a body or a question has kinds of its own
//! ([`RowFault`](crate::entry::RowFault), [`BadQuestion`](crate::answer::BadQuestion)).
//!
//! Invariant: every kind has its text in every language, and every refusal a hint and an HTTP status of its own
//! (tests `every_refusal_and_every_order_has_its_text_in_every_language`, `every_code_of_a_refusal_has_its_status`).

use kho_messages::{Ordinal, Reportable as _};
use kho_storage::{command_check::CommandFault, error::StorageError};

use crate::consensus::{MembersError, ProposeError, ReadError};

kho_messages::reportable! {
    /// Why a request was refused.
    pub enum RequestFault in "request" {
        ClientWanted { who: String, site: Ordinal } = "forbidden" as "client_wanted",
        ReaderWanted { who: String, site: Ordinal } = "forbidden" as "reader_wanted",
        OperatorWanted { who: String, site: Ordinal } = "forbidden" as "operator_wanted",
        /// Path, query or body do not have the form that the request asks for.
        Unreadable { detail: String } = "malformed",
        MalformedOrigins { given: String } = "malformed" as "malformed_origins",
        UnknownResource {} = "not_found",
        MethodNotAllowed {} = "method_not_allowed",
        BodyCutShort { detail: String } = "body_cut_short",

        LocalStorage { detail: String } = "local_storage",
        BundleNotWritten { detail: String } = "local_storage" as "bundle_not_written",
        BundleNotKept { detail: String } = "no_space" as "bundle_not_kept",
        DiskFull { folder: String, free_mib: u64, reserve_mib: u64 } = "disk_full",
        TaskLost {} = "internal",
        NodeStopped { detail: String } = "node_stopped",
        NotReady {} = "not_ready",

        NoLeader {} = "no_leader",
        LeadershipUnconfirmed { detail: String } = "no_leader" as "leadership_unconfirmed",
        /// The leader reaches this node, but this node does not reach the leader.
        LeaderUnreachable { leader: Ordinal, detail: String } = "leader_unreachable",
        Busy {} = "busy",
        EntryFull { mib_max: u32 } = "entry_full",
        BatchTooLarge { bytes: usize, bytes_max: usize } = "batch_too_large",
        CommandRefused { detail: String } = "command_refused",
        OutcomeUnknown { detail: String } = "outcome_unknown",

        RequestKeyMissing { header: &'static str, bytes_max: usize } = "request_key_missing",
        RequestKeyMalformed { header: &'static str, bytes_max: usize } = "request_key_malformed",
        RequestKeyReused { key: String, first_hash: String, batch: Ordinal } = "request_key_reused",
        BatchRefused { first: kho_messages::Message } = "batch_refused",
        NotAuthor { origin: Ordinal } = "not_author",
        NoOriginToWrite { site: Ordinal } = "not_author" as "no_origin_to_write",
        /// The site stood further before its disks came back older: what it took now could not go up.
        SiteSetBack { origin: Ordinal, shown: Ordinal, held: Ordinal, wanted_from: Ordinal } = "site_set_back",
        NotSetBack { origin: Ordinal } = "not_set_back",

        NoRegister {} = "no_register",
        RegisterRefused { detail: String } = "register_refused",
        RegisterOlder { held: Ordinal, given: Ordinal } = "register_older",
        RegisterDoubled { version: Ordinal, held: String, given: String } = "register_doubled",

        ClockImpossible { time: String } = "clock_impossible",

        WrongSize { nodes: usize } = "wrong_size",
        NodeTwice {} = "node_twice",
        AlreadyFounded {} = "members_unchanged" as "already_founded",
        SiteRuns { site: Ordinal, node: Ordinal } = "members_unchanged" as "site_runs",
        /// A parent holds what the site wrote before.
        FoundedBefore { parent: Ordinal, origin: Ordinal, batch: Ordinal } = "founded_before",
        /// Nobody knows whether a parent holds what the site wrote before.
        ParentNotAsked { parent: Ordinal, detail: String } = "parent_not_asked",
        SiteNotInRegister { site: Ordinal } = "site_not_in_register",
        NodeIdUsed { node: Ordinal } = "members_unchanged" as "node_id_used",
        NodeNotInRegister { node: Ordinal, version: Ordinal } = "members_unchanged" as "node_not_in_register",
        NodeNotFresh { node: Ordinal } = "members_unchanged" as "node_not_fresh",
        NotAMember { node: Ordinal } = "members_unchanged" as "not_a_member",
        /// A node to be removed is no member; what is left to revoke of it is told as by a removal.
        NothingToRemove { node: Ordinal, revoking: String } = "members_unchanged" as "nothing_to_remove",
        NoVoterLeft {} = "members_unchanged" as "no_voter_left",
        NodeUnreachable { node: Ordinal, detail: String } = "members_unchanged" as "node_unreachable",
        ChangeInProgress {} = "members_unchanged" as "change_in_progress",
        NotCaughtUp { node: Ordinal, matched: u64, wanted: u64 } = "members_unchanged" as "not_caught_up",

        /// What was asked for exists from a higher level on than the site works at.
        AboveLevel { level: Ordinal, site_level: Ordinal } = "above_level",
        LeaderOlder { detail: String } = "above_level" as "leader_older",
        LevelNotSupported { node: Ordinal, level: Ordinal, supported: String } = "level_not_raised" as "level_not_supported",
        LevelsUnknown { node: Ordinal, detail: String } = "level_not_raised" as "levels_unknown",
        ParentLower { held: Ordinal, level: Ordinal } = "level_not_raised" as "parent_lower",
        ParentLevelUnknown {} = "level_not_raised" as "parent_level_unknown",
        ParentUnknown {} = "level_not_raised" as "parent_unknown",
        LevelHigher { held: Ordinal, level: Ordinal } = "level_not_raised" as "level_higher",

        BatchNotKept { origin: Ordinal, batch: Ordinal } = "not_kept",
        UnknownOrigin { origin: Ordinal } = "unknown_origin",
        NoTransfer { origin: Ordinal } = "no_transfer",
        ReasonMissing { chars_max: usize } = "reason_missing",
        NoEvidence { origin: Ordinal } = "no_evidence",
        OtherNode { node: Ordinal, own: Ordinal } = "other_node",
        NoDamage { node: Ordinal } = "no_damage",
        DamageUnproved { count: u64, origins: String } = "damage_unproved",
        OriginLed { origin: Ordinal, site: Ordinal } = "origin_led",
        OriginNotDiscarded { detail: String } = "origin_not_discarded",
        BundleTooLarge { bytes_max: u64 } = "bundle_too_large",
        BundleRefused { detail: String } = "bundle_refused",
        BundleForOtherSite { given: Ordinal, own: Ordinal } = "bundle_for_other_site",
        BundleNotForNode { site: Ordinal, node: Ordinal } = "bundle_not_for_node",
        BundleReaderMissing {} = "bundle_reader_missing",
        BundleReaderUnknown { site: Ordinal } = "bundle_reader_unknown",
        BundleOffPath { origin: Ordinal, site: Ordinal } = "bundle_off_path",
        BundleFailed { detail: String } = "bundle",
        ComparisonTooWide { nodes_max: usize } = "comparison_too_wide",
        ComparisonNodeUnknown { site: Ordinal, node: Ordinal } = "comparison_node_unknown",
        ComparisonRefused { detail: String } = "comparison_refused",
        ComparisonFailed { detail: String } = "comparison",
        RowHashUnknown { origin: Ordinal } = "row_hash_unknown",
        SigningKeyUnusable { detail: String } = "signing_key",
    }
}

kho_messages::reportable! {
    /// What an order did.
    pub enum OrderDone in "done" {
        Alive {} = "alive",
        Ready {} = "ready",
        RegisterStands { version: Ordinal } = "register_stands",
        SiteFounded { site: Ordinal, nodes: usize } = "site_founded",
        SiteFoundedUnasked { site: Ordinal, nodes: usize, parent: Ordinal } = "site_founded" as "site_founded_unasked",
        NodeAdded { node: Ordinal, site: Ordinal } = "node_added",
        NodeRemoved { node: Ordinal, site: Ordinal, revoking: String } = "node_removed",
        NodeConfirmed { node: Ordinal, site: Ordinal } = "node_confirmed",
        TimeConfirmed { time: String } = "time_confirmed",
        LevelRaised { level: Ordinal, site: Ordinal } = "level_raised",
        LevelCouldRise { level: Ordinal, site: Ordinal } = "level_could_rise",
        TestNoted {} = "test_noted",
        OriginResumed { origin: Ordinal } = "origin_resumed",
        TransferAbandoned { origin: Ordinal } = "transfer_abandoned",
    }
}

impl RequestFault {
    /// The HTTP status code.
    pub fn status(&self) -> u16 {
        status_of(self.code())
    }
}

fn status_of(code: &str) -> u16 {
    match code {
        "malformed"
        | "body_cut_short"
        | "request_key_missing"
        | "request_key_malformed"
        | "wrong_size"
        | "node_twice"
        | "bundle_refused"
        | "bundle_reader_missing"
        | "comparison_too_wide"
        | "reason_missing" => 400,
        "forbidden" | "comparison_refused" => 403,
        "not_found"
        | "not_kept"
        | "unknown_origin"
        | "no_transfer"
        | "no_evidence"
        | "no_damage"
        | "not_set_back"
        | "bundle_reader_unknown"
        | "comparison_node_unknown"
        | "row_hash_unknown" => 404,
        "method_not_allowed" => 405,
        "request_key_reused"
        | "not_author"
        | "site_set_back"
        | "command_refused"
        | "founded_before"
        | "parent_not_asked"
        | "site_not_in_register"
        | "register_refused"
        | "register_older"
        | "register_doubled"
        | "clock_impossible"
        | "members_unchanged"
        | "above_level"
        | "level_not_raised"
        | "bundle_off_path"
        | "bundle_for_other_site"
        | "bundle_not_for_node"
        | "other_node"
        | "damage_unproved"
        | "origin_led"
        | "origin_not_discarded" => 409,
        "batch_too_large" | "bundle_too_large" => 413,
        "batch_refused" => 422,
        "busy" => 429,
        "disk_full" | "entry_full" | "not_ready" | "no_leader" | "leader_unreachable" | "no_register" => 503,
        "outcome_unknown" => 504,
        "no_space" => 507,
        // What is left lies with this node: `local_storage`, `internal`, `node_stopped`, `bundle`, `comparison`, `signing_key`.
        _ => 500,
    }
}

impl From<StorageError> for RequestFault {
    fn from(error: StorageError) -> Self {
        tracing::error!(%error, "a request met a fault of the local disk");
        Self::LocalStorage { detail: error.to_string() }
    }
}

impl From<ProposeError> for RequestFault {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::Busy { .. } => Self::Busy {},
            ProposeError::NoLeader { .. } => Self::NoLeader {},
            ProposeError::LeaderUnreachable { leader, why, .. } => Self::LeaderUnreachable { leader: Ordinal(leader.0), detail: why },
            ProposeError::TooLarge { bytes, bytes_max } => Self::BatchTooLarge { bytes, bytes_max },
            ProposeError::AboveLevel { command, site } => {
                Self::AboveLevel { level: Ordinal(command.0.into()), site_level: Ordinal(site.0.into()) }
            }
            ProposeError::Refused(CommandFault::Unreadable(why)) => Self::LeaderOlder { detail: why },
            ProposeError::Refused(fault) => Self::CommandRefused { detail: fault.to_string() },
            ProposeError::Disputed { .. } => Self::CommandRefused { detail: error.to_string() },
            ProposeError::Unknown { why } => Self::OutcomeUnknown { detail: why },
            ProposeError::Fatal { why } => Self::NodeStopped { detail: why },
        }
    }
}

impl From<ReadError> for RequestFault {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NoLeader { why, .. } => Self::LeadershipUnconfirmed { detail: why },
            ReadError::LeaderUnreachable { leader, why, .. } => Self::LeaderUnreachable { leader: Ordinal(leader.0), detail: why },
            ReadError::Fatal { why } => Self::NodeStopped { detail: why },
        }
    }
}

impl From<MembersError> for RequestFault {
    fn from(error: MembersError) -> Self {
        let number = |node: kho_storage::ids::NodeId| Ordinal(node.0);
        match error {
            MembersError::AlreadyInitialised => Self::AlreadyFounded {},
            MembersError::IdUsed(node) => Self::NodeIdUsed { node: number(node) },
            MembersError::NotFresh(node) => Self::NodeNotFresh { node: number(node) },
            MembersError::NotAMember(node) => Self::NotAMember { node: number(node) },
            MembersError::NoVoterLeft => Self::NoVoterLeft {},
            MembersError::Unreachable { node, why } => Self::NodeUnreachable { node: number(node), detail: why },
            MembersError::InProgress => Self::ChangeInProgress {},
            MembersError::NotCaughtUp { node, matched, wanted } => Self::NotCaughtUp { node: number(node), matched, wanted },
            MembersError::LevelNotSupported { node, level, supported } => {
                Self::LevelNotSupported { node: number(node), level: Ordinal(level.0.into()), supported: supported.to_string() }
            }
            MembersError::LevelUnknown { .. } => Self::OutcomeUnknown { detail: error.to_string() },
            MembersError::LevelsUnknown { node, why } => Self::LevelsUnknown { node: number(node), detail: why },
            MembersError::LevelHigher { held, to } => Self::LevelHigher { held: Ordinal(held.0.into()), level: Ordinal(to.0.into()) },
            MembersError::ParentLower { parent, to } => Self::ParentLower { held: Ordinal(parent.0.into()), level: Ordinal(to.0.into()) },
            MembersError::ParentLevelUnknown => Self::ParentLevelUnknown {},
            MembersError::ParentUnknown => Self::ParentUnknown {},
            MembersError::NoLeader { why, .. } => Self::LeadershipUnconfirmed { detail: why },
            MembersError::Fatal { why } => Self::NodeStopped { detail: why },
        }
    }
}

#[cfg(test)]
mod tests {
    use kho_messages::{Lang, coverage};

    use super::*;

    #[test]
    fn every_refusal_and_every_order_has_its_text_in_every_language() {
        assert_eq!(coverage::declared_gaps(RequestFault::SUBJECT, RequestFault::TEXTS, &["hint"]), Vec::<String>::new());
        assert_eq!(coverage::declared_gaps(OrderDone::SUBJECT, OrderDone::TEXTS, &[]), Vec::<String>::new());
    }

    #[test]
    fn whoever_removes_a_node_that_is_not_there_is_told_what_is_left_to_revoke() {
        let revoking = "--identity kho://vn/site/4/node/3 --last-good 4=1/17";
        let refused = RequestFault::NothingToRemove { node: Ordinal(3), revoking: revoking.into() };
        assert_eq!((refused.code(), refused.status()), ("members_unchanged", 409));
        for lang in [Lang::En, Lang::Vi] {
            let hint = kho_messages::hint(lang, &refused);
            assert!(hint.contains(&format!("kho register revoke register.toml {revoking}")), "{hint}");
        }
    }

    #[test]
    fn every_code_of_a_refusal_has_its_status() {
        let mut own: Vec<_> = RequestFault::CODES.iter().filter(|code| status_of(code) == 500).copied().collect();
        own.dedup();
        assert_eq!(own, ["local_storage", "internal", "node_stopped", "bundle", "comparison", "signing_key"], "faults of this node alone");
    }
}
