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
use openraft::testing::{StoreBuilder, Suite};
use tempfile::TempDir;

use super::{
    log::{InstallGate, LogStore, LogTail},
    snapshot::SnapshotStore,
    state_machine::StateMachine,
    types::{SiteRaft, StoreError},
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
        let store = LogStore::start(NodeId(0), log, gate.clone(), 4 << 20).expect("a thread");
        // The suite applies entries that it never appended.
        let all_on_disk = Arc::new(LogTail::after(u64::MAX));
        Ok((dir, store, StateMachine::new(warehouse, snapshot_store, gate, all_on_disk)))
    }
}

#[test]
fn log_and_state_machine_pass_the_conformance_suite_of_openraft() {
    Suite::test_all(OnDisk).expect("conforms");
}
