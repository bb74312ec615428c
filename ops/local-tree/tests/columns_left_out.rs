//! A file changes the columns that it names, through `kho import` at a real node: what it leaves out stays, is listed, and is cleared
//! only when the command says so.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use kho_local_tree::{LocalTree, PlannedSite, TreePlan};
use kho_node::entry::UnnamedColumns;
use kho_ops::client::{BatchUpload, CallError};
use kho_storage::ids::{NodeId, SiteId, Tier};

const SITE: SiteId = SiteId(4);
const NODE: NodeId = NodeId(1);

const FULL: &str = "\
person_id,household_id,seq,pin,insurance_no,full_name,birth_date,sex,marital,residence_status,commune_code,catalogue_version
T-1,T-H1,1,003199000001,THU000000000001,Nguyễn Thử An,1999-02-03,female,married,permanent,12970,legacy-63
T-2,T-H1,2,003099000002,THU000000000002,Trần Thử Bình,1999-07-08,male,married,permanent,12970,legacy-63
";
/// Last month's moves, as an office sends them: the key, what is required, and what changed.
const MOVES: &str = "\
person_id,household_id,seq,full_name,sex,residence_status,commune_code,catalogue_version
T-1,T-H1,1,Nguyễn Thử An,female,temporary,12970,legacy-63
T-2,T-H1,2,Trần Thử Bình,male,absent,12970,legacy-63
";

struct Desk {
    tree: LocalTree,
    files: tempfile::TempDir,
}

/// A program as cargo built it beside the tests.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let program = test.parent().and_then(|deps| deps.parent()).expect("a target folder").join(name);
    assert!(program.exists(), "{} is missing: run `cargo build --release --workspace` first", program.display());
    program
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

impl Desk {
    async fn start() -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let sites = vec![
            PlannedSite::new(1, "centre", Tier::Central, &[], 1),
            PlannedSite::new(SITE.0, "district", Tier::District, &[1], 1).with_area("34"),
        ];
        let plan = TreePlan { tree: "test".into(), sites };
        let mut tree = LocalTree::create(&files.path().join("tree"), &program("khod"), plan, None).expect("created");
        tree.start_node(SITE, NODE).expect("starts");
        tree.bootstrap_lone_site(SITE).await.expect("created");
        tree.leader(SITE).await.expect("leads");
        Self { tree, files }
    }

    /// Writes `person.csv` with this text and imports it.
    fn import(&self, text: &str, more: &[&str]) -> (Option<i32>, String) {
        let file: &Path = &self.files.path().join("person.csv");
        std::fs::write(file, text).expect("writes");
        let output = Command::new(program("kho"))
            .arg("import")
            .arg(file)
            .args(more)
            .arg("--node")
            .arg(self.tree.url(SITE, NODE))
            .env("KHO_IDENTITY", self.tree.identity_dir(&format!("client-{SITE}")))
            .env_remove("KHO_NODE")
            .output()
            .expect("kho starts");
        (output.status.code(), said(&output))
    }

    /// A column of a person who stands; an empty text where it is empty.
    async fn column(&self, key: &str, column: &str) -> String {
        let client = self.tree.client(&self.tree.urls(SITE), &format!("client-{SITE}")).expect("an identity");
        let answer = client.row("person", key, None).await.expect("read");
        assert_eq!(answer.found.len(), 1, "{key} stands once");
        answer.found[0].columns.get(column).cloned().unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_3_a_file_with_fewer_columns_leaves_the_others_as_they_are_and_the_summary_names_them() {
    let desk = Desk::start().await;
    assert_eq!(desk.import(FULL, &[]).0, Some(0));
    let (code, summary) = desk.import(MOVES, &[]);
    assert_eq!(code, Some(0), "{summary}");
    let listed = "2 rows of person: columns that the file does not name stay as they are: \
                  pin, insurance_no, birth_date, relation, ethnicity, education, marital";
    assert!(summary.contains(listed), "{summary}");
    for (column, value) in
        [("pin", "003199000001"), ("insurance_no", "THU000000000001"), ("birth_date", "1999-02-03"), ("marital", "married")]
    {
        assert_eq!(desk.column("T-1", column).await, value, "{column}");
    }
    assert_eq!(desk.column("T-2", "residence_status").await, "absent");

    // A few columns of rows that stand; an empty field clears.
    let (code, summary) = desk.import("person_id,marital,education\nT-1,divorced,college\nT-2,,\n", &[]);
    assert_eq!(code, Some(0), "{summary}");
    assert_eq!((desk.column("T-1", "marital").await.as_str(), desk.column("T-1", "pin").await.as_str()), ("divorced", "003199000001"));
    assert_eq!((desk.column("T-2", "marital").await.as_str(), desk.column("T-2", "pin").await.as_str()), ("", "003099000002"));

    // Somebody who does not stand yet: refused whole, with the file's row and what is missing.
    let (code, refused) = desk.import("person_id,marital\nT-1,widowed\nT-3,single\n", &[]);
    assert_eq!(code, Some(1), "{refused}");
    assert!(refused.contains("line 3, row 2, column household_id: there is no such row of `person` yet"), "{refused}");
    assert_eq!(desk.column("T-1", "marital").await, "divorced", "nothing of the batch is taken");

    // How much that would empty is told before anything is changed.
    let (code, told) = desk.import(MOVES, &["--clear-unnamed", "--dry-run"]);
    assert_eq!(code, Some(0), "{told}");
    let emptied = "nothing was entered: 8 fields that hold something now would be emptied: person.pin 2, person.insurance_no 2, \
                   person.birth_date 2, person.education 1, person.marital 1";
    assert!(told.contains(emptied), "{told}");
    assert!(told.contains("columns that the file does not name would be empty: pin, insurance_no, birth_date"), "{told}");
    assert_eq!((desk.column("T-1", "pin").await.as_str(), desk.column("T-1", "marital").await.as_str()), ("003199000001", "divorced"));

    // Rows are replaced whole only where the command says so.
    let (code, summary) = desk.import(MOVES, &["--clear-unnamed"]);
    assert_eq!(code, Some(0), "{summary}");
    assert!(summary.contains("columns that the file does not name are empty now: pin, insurance_no, birth_date"), "{summary}");
    for column in ["pin", "birth_date", "marital"] {
        assert_eq!(desk.column("T-1", column).await, "", "{column}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_3_a_retry_that_means_something_else_is_another_request() {
    let desk = Desk::start().await;
    assert_eq!(desk.import(FULL, &[]).0, Some(0));
    let client = desk.tree.client(&desk.tree.urls(SITE), &format!("client-{SITE}")).expect("an identity");
    let send = async |unnamed| {
        let body = MOVES.to_owned().into();
        client
            .enter(BatchUpload { request_key: "moves".into(), table: Some("person".into()), content_type: "text/csv", unnamed, body })
            .await
    };
    let first = send(UnnamedColumns::Stay).await.expect("entered");
    let again = send(UnnamedColumns::Stay).await.expect("known");
    assert_eq!((first.repeated, again.repeated), (false, true));
    assert_eq!((first.left_out[0].rows, &first.left_out), (2, &again.left_out));
    let other = send(UnnamedColumns::Clear).await.expect_err("the key names another request");
    assert!(matches!(&other, CallError::Refused { status: 409, problem } if problem.code == "request_key_reused"), "{other:?}");
    assert_eq!(desk.column("T-1", "pin").await, "003199000001");
}
