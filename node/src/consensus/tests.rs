//! Tests of the whole module: openraft's own conformance suite, on the real log and a real warehouse.

use std::{path::Path, sync::Arc};

use kho_storage::{
    db::DbLimits,
    ids::{NodeId, SiteId},
    level::SUPPORTED,
    log_db::LogDb,
    schema::population,
    signature::{SignatureAlgorithm, SigningKey},
    warehouse::{Warehouse, WarehouseConfig},
};
use openraft::{
    EntryPayload, RaftSnapshotBuilder as _,
    storage::RaftStateMachine as _,
    testing::{StoreBuilder, Suite},
};
use tempfile::TempDir;

use super::{
    divergence::OwnDivergence,
    log::{InstallGate, LogStore, LogTail},
    snapshot::SnapshotStore,
    state_machine::StateMachine,
    state_position::check_state,
    summaries::Summaries,
    types::{Entry, LogId, Membership, SiteRaft, SnapshotMeta, StoreError, StoredMembership},
};

/// A warehouse of a site that has no register yet.
pub(super) fn empty_warehouse(dir: &Path, limits: DbLimits) -> Arc<Warehouse> {
    let config = WarehouseConfig {
        tree: "test".into(),
        site: SiteId(7),
        register_key: SigningKey::generate(SignatureAlgorithm::default()).expect("system randomness").public_key(),
        schema: Arc::new(population().clone()),
        limits,
        levels: SUPPORTED,
    };
    Arc::new(Warehouse::open(dir, config).expect("empty"))
}

struct OnDisk;

impl StoreBuilder<SiteRaft, LogStore, StateMachine, TempDir> for OnDisk {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StoreError> {
        let dir = tempfile::tempdir().expect("a directory");
        let log = Arc::new(LogDb::open(&dir.path().join("log")).expect("empty"));
        let gate = InstallGate::open();
        let snapshot_store = Arc::new(SnapshotStore::open(&dir.path().join("snapshots")).expect("empty"));
        let warehouse = empty_warehouse(&dir.path().join("state"), DbLimits { cache_bytes_max: 1 << 20, write_buffer_bytes_max: 4 << 20 });
        let store = LogStore::start(NodeId(0), log, gate.clone(), Arc::new(|| None), 4 << 20).expect("a thread");
        // The suite applies entries that it never appended.
        let all_on_disk = Arc::new(LogTail::after(u64::MAX));
        let state_machine =
            StateMachine::new(warehouse, snapshot_store, gate, all_on_disk, Summaries::every(1_000), OwnDivergence::default());
        Ok((dir, store, state_machine))
    }
}

#[tokio::test]
async fn promise_1_a_log_snapshot_that_holds_another_state_than_announced_replaces_nothing() {
    let (_dir, _log, mut state) = OnDisk.build().await.expect("opens");
    let log_id = |index| LogId::new(openraft::CommittedLeaderId::new(1, 1), index);
    let blanks = |range: std::ops::RangeInclusive<u64>| {
        range.map(|index| Entry { log_id: log_id(index), payload: EntryPayload::Blank }).collect::<Vec<_>>()
    };
    state.apply(blanks(1..=5)).await.expect("a good disk");
    let taken = state.build_snapshot().await.expect("a good disk");
    state.apply(blanks(6..=9)).await.expect("a good disk");
    let members = StoredMembership::new(Some(log_id(2)), Membership::new(vec![[7].into()], None));
    let announced = [
        SnapshotMeta { last_log_id: Some(log_id(12)), ..taken.meta.clone() },
        SnapshotMeta { last_membership: members, ..taken.meta.clone() },
        // What it announces is true, but what stands is further on.
        taken.meta.clone(),
    ];
    for meta in announced {
        assert!(check_state(&taken.snapshot.state(), &meta).is_ok() == (meta == taken.meta), "{meta:?}");
        assert!(state.install_snapshot(&meta, taken.snapshot.clone()).await.is_err(), "{meta:?}");
        assert_eq!(state.applied_state().await.expect("a good disk").0, Some(log_id(9)), "nothing was replaced");
    }
}

#[test]
fn log_and_state_machine_pass_the_conformance_suite_of_openraft() {
    Suite::test_all(OnDisk).expect("conforms");
}
