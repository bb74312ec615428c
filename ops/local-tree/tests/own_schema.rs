//! A site under a schema of its own: its records are entered, looked up, verified and inspected like any; what the schema does not
//! count is refused with a word; and a state is never read under other cubes.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use kho_local_tree::{LocalTree, PlannedSite, TreePlan};
use kho_node::entry::UnnamedColumns;
use kho_ops::client::{BatchUpload, CallError, IndicatorQuestion};
use kho_storage::{
    ids::{NodeId, SiteId, Tier},
    schema::POPULATION_TOML,
};

const SITE: SiteId = SiteId(4);
const NODE: NodeId = NodeId(1);
const SCHEMA: &str = r#"
version = 1

[[table]]
id = 9
name = "parcel"
label = "Thửa đất"
key = "parcel_id"
column = [
    { id = 1, name = "parcel_id", label = "Mã thửa", type = "text", chars_max = 32, required = true },
    { id = 2, name = "area_m2", label = "Diện tích", type = "integer", min = 1, max = 1000000 },
]
"#;

/// A program as cargo built it beside the tests.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let program = test.parent().and_then(|deps| deps.parent()).expect("a target folder").join(name);
    assert!(program.exists(), "{} is missing: run `cargo build --release --workspace` first", program.display());
    program
}

fn kho(tree: &LocalTree, arguments: &[&str]) -> Output {
    Command::new(program("kho"))
        .args(arguments)
        .env("KHO_IDENTITY", tree.identity_dir("operator"))
        .env_remove("KHO_NODE")
        .output()
        .expect("kho starts")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn create(dir: &Path) -> LocalTree {
    let sites = vec![
        PlannedSite::new(1, "centre", Tier::Central, &[], 1),
        PlannedSite::new(SITE.0, "district", Tier::District, &[1], 1).with_area("001"),
    ];
    LocalTree::create(&dir.join("tree"), &program("khod"), TreePlan { tree: "test".into(), sites }, None).expect("created")
}

fn check_config(tree: &LocalTree) -> Output {
    let config = tree.node_dir(SITE, NODE).join("khod.toml");
    Command::new(program("khod")).arg("--config").arg(config).arg("--check-config").output().expect("khod starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_an_own_schema_are_entered_read_verified_and_inspected_and_what_it_does_not_count_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut tree = create(dir.path());
    tree.use_schema(SCHEMA).expect("written");
    assert!(check_config(&tree).status.success());
    tree.start_node(SITE, NODE).expect("starts");
    tree.bootstrap_lone_site(SITE).await.expect("created");
    tree.leader(SITE).await.expect("leads");

    let client = tree.client(&tree.urls(SITE), &format!("client-{SITE}")).expect("an identity");
    let upload = |key: &str, table: &str, body: &str| BatchUpload {
        request_key: key.into(),
        table: Some(table.into()),
        content_type: "text/csv",
        unnamed: UnnamedColumns::Stay,
        body: body.to_owned().into(),
    };
    client.enter(upload("one", "parcel", "parcel_id,area_m2\nP1,250\nP2,\n")).await.expect("entered");
    let row = client.row("parcel", "P1", None).await.expect("read");
    assert_eq!(row.found[0].columns.get("area_m2").map(String::as_str), Some("250"));
    for (body, table, code) in [("parcel_id,area_m2\nP3,wide\n", "parcel", "wrong_type"), ("person_id\nX\n", "person", "unknown_table")] {
        let refused = client.enter(upload("two", table, body)).await.expect_err("refused");
        assert!(matches!(&refused, CallError::Refused { status: 422, problem } if problem.errors[0].code == code), "{refused:?}");
    }

    let operator = tree.operator(SITE).expect("an identity");
    match operator.indicator("population", &IndicatorQuestion::default()).await {
        Err(CallError::Refused { status: 400, problem }) => {
            assert!(problem.code == "not_counted" && problem.message.contains("cube `population`"), "{problem:?}");
        }
        other => panic!("a site that counts no population answered {other:?}"),
    }

    let verified = kho(&tree, &["verify", "--node", &tree.url(SITE, NODE)]);
    assert!(verified.status.success(), "{}", said(&verified));
    tree.stop().expect("stops");
    let inspected = kho(
        &tree,
        &[
            "inspect",
            tree.node_dir(SITE, NODE).join("data").to_str().expect("text"),
            "--space",
            "rows",
            "--schema",
            tree.dir().join("schema.toml").to_str().expect("text"),
        ],
    );
    assert!(inspected.status.success() && said(&inspected).contains("row parcel \"P1\""), "{}", said(&inspected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_does_not_start_on_a_state_that_counts_other_cubes_and_a_bad_schema_is_found_before_the_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut tree = create(dir.path());
    tree.start_node(SITE, NODE).expect("starts");
    tree.bootstrap_lone_site(SITE).await.expect("created");
    tree.stop().expect("stops");

    tree.use_schema(SCHEMA).expect("written");
    let refused =
        Command::new(program("khod")).arg("--config").arg(tree.node_dir(SITE, NODE).join("khod.toml")).output().expect("khod starts");
    assert!(refused.status.code() == Some(1) && said(&refused).contains("counts other cubes"), "{}", said(&refused));

    let file = tree.dir().join("schema.toml");
    std::fs::write(&file, SCHEMA.replace("key = \"parcel_id\"", "key = \"number\"")).expect("writes");
    let refused = check_config(&tree);
    assert!(refused.status.code() == Some(2) && said(&refused).contains("required text column as key"), "{}", said(&refused));

    std::fs::write(&file, POPULATION_TOML).expect("writes");
    tree.start_node(SITE, NODE).expect("starts");
    tree.wait_for_answer(SITE, NODE).await.expect("the same cubes from a file");
    tree.stop().expect("stops");
}
