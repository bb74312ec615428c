//! Whole imports against a scripted site: refusals, interruptions, and that no row enters twice.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use clap::Parser;
use serde_json::json;

use super::{ImportArgs, command::run};
use crate::{
    client::scripted_node::{Received, Reply, ScriptedTree},
    failure::{Failure, FailureKind, Verdict},
};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: ImportArgs,
}

/// Rows by request key, as a site remembers them.
#[derive(Clone, Default)]
struct Site {
    entered: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Site {
    fn take(&self, request: &Received) -> Reply {
        let Some(key) = request.header("kho-request-key") else { return Reply::Json(200, json!({})) };
        let rows = request.body.iter().filter(|byte| **byte == b'\n').count() as u64 - 1;
        let repeated = self.entered.lock().expect("kept").insert(key.to_owned(), rows).is_some();
        Reply::Json(200, json!({ "origin": 7, "epoch": "1-0", "seq": 1, "rows": rows, "repeated": repeated, "request_key": key }))
    }

    fn rows(&self) -> u64 {
        self.entered.lock().expect("kept").values().sum()
    }
}

fn refused() -> Reply {
    let finding = json!({ "row": 1, "line": 2, "column": "sex", "code": "unknown_code", "message": "no code", "hint": "fix it" });
    Reply::Json(422, json!({ "code": "bad_rows", "message": "one row is wrong", "hint": "fix it", "errors": [finding], "more": 0 }))
}

fn write_persons(tree: &ScriptedTree, rows: u64) -> PathBuf {
    let file = tree.path("person.csv");
    let text: String = std::iter::once("person_id,sex\n".to_owned()).chain((0..rows).map(|row| format!("p-{row},male\n"))).collect();
    fs::write(&file, text).expect("writes");
    file
}

async fn import(tree: &ScriptedTree, nodes: &[SocketAddr], file: &Path, more: &[&str]) -> Result<Verdict, Failure> {
    let me = tree.path("me");
    let mut line = vec![
        "import".to_owned(),
        file.display().to_string(),
        "--identity".into(),
        me.display().to_string(),
        "--batch-rows".into(),
        "10".into(),
        "--timeout".into(),
        "5".into(),
    ];
    line.extend(nodes.iter().flat_map(|node| ["--node".to_owned(), format!("https://{node}")]));
    line.extend(more.iter().map(|word| (*word).to_owned()));
    run(Line::try_parse_from(line).expect("well formed").args).await
}

fn journal(tree: &ScriptedTree) -> PathBuf {
    tree.path("person.csv.kho-import")
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_3_a_repeated_import_enters_no_row_twice() {
    let (tree, site) = (ScriptedTree::new(), Site::default());
    let taking = site.clone();
    let (node, received) = tree.serve(1, move |request, _| taking.take(request));
    let file = write_persons(&tree, 95);
    for _ in 0..2 {
        assert_eq!(import(&tree, &[node], &file, &[]).await, Ok(Verdict::Good));
        assert_eq!((site.rows(), site.entered.lock().expect("kept").len()), (95, 10));
    }
    assert!(!journal(&tree).exists());
    assert!(
        received
            .lock()
            .expect("kept")
            .iter()
            .filter(|request| request.line.starts_with("POST"))
            .all(|request| request.body.starts_with(b"person_id,sex\n"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_outlives_a_node_that_dies_in_its_middle() {
    let (tree, site) = (ScriptedTree::new(), Site::default());
    let (at_first, at_second) = (site.clone(), site.clone());
    // The first node takes batches and then dies: what it took last is in, and nobody knows.
    let (first, _) = tree.serve(1, move |request, before| {
        let reply = at_first.take(request);
        if before < 4 { reply } else { Reply::Nothing }
    });
    let (second, received) = tree.serve(2, move |request, _| at_second.take(request));
    let file = write_persons(&tree, 200);
    assert_eq!(import(&tree, &[first, second], &file, &[]).await, Ok(Verdict::Good));
    assert_eq!(site.rows(), 200);
    assert!(!received.lock().expect("kept").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_batch_stops_the_import_which_goes_on_there_once_the_file_is_mended() {
    let (tree, site) = (ScriptedTree::new(), Site::default());
    let taking = site.clone();
    let (node, received) =
        tree.serve(
            1,
            move |request, _| if request.body.windows(9).any(|text| text == b"p-35,mail") { refused() } else { taking.take(request) },
        );
    let file = write_persons(&tree, 95);
    let good = fs::read_to_string(&file).expect("text");
    fs::write(&file, good.replace("p-35,male", "p-35,mail")).expect("writes");
    assert_eq!(import(&tree, &[node], &file, &["--jobs", "1"]).await, Ok(Verdict::Bad));
    assert_eq!(site.rows(), 30, "three batches before the refused one, none behind it");
    assert!(journal(&tree).exists());

    received.lock().expect("kept").clear();
    fs::write(&file, good).expect("writes");
    assert_eq!(import(&tree, &[node], &file, &["--jobs", "1"]).await, Ok(Verdict::Good));
    assert_eq!(site.rows(), 95);
    assert_eq!(
        received.lock().expect("kept").iter().filter(|request| request.line.starts_with("POST")).count(),
        7,
        "what was in is not sent again"
    );
    assert!(!journal(&tree).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_keep_going_everything_but_the_refused_batch_enters() {
    let (tree, site) = (ScriptedTree::new(), Site::default());
    let taking = site.clone();
    let (node, _) =
        tree.serve(1, move |request, _| if request.body.windows(4).any(|text| text == b"p-35") { refused() } else { taking.take(request) });
    let file = write_persons(&tree, 95);
    assert_eq!(import(&tree, &[node], &file, &["--keep-going"]).await, Ok(Verdict::Bad));
    assert_eq!(site.rows(), 85);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_or_another_purpose_does_not_go_on_from_a_journal() {
    let (tree, site) = (ScriptedTree::new(), Site::default());
    let refusing = Arc::new(AtomicBool::new(true));
    let (taking, on) = (site.clone(), Arc::clone(&refusing));
    let (node, _) = tree.serve(1, move |request, _| {
        if on.load(Ordering::Relaxed) && request.body.windows(4).any(|text| text == b"p-35") { refused() } else { taking.take(request) }
    });
    let file = write_persons(&tree, 95);
    assert_eq!(import(&tree, &[node], &file, &["--jobs", "1"]).await, Ok(Verdict::Bad));
    refusing.store(false, Ordering::Relaxed);

    let other = import(&tree, &[node], &file, &["--again", "second"]).await.expect_err("another import");
    assert!(other.hint.contains("--restart"), "{other}");
    let text = fs::read_to_string(&file).expect("text");
    fs::write(&file, text.replace("p-1,male", "p-1,female")).expect("writes");
    let changed = import(&tree, &[node], &file, &[]).await.expect_err("another file");
    assert!(changed.message.contains("differ"), "{changed}");
    assert_eq!(import(&tree, &[node], &file, &["--restart"]).await, Ok(Verdict::Good));
    assert!(!journal(&tree).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_in_gets_one_refusal_and_a_dead_site_is_detected_before_the_first_batch() {
    let tree = ScriptedTree::new();
    let (node, received) = tree.serve(1, |request, _| {
        if request.line.starts_with("GET") {
            Reply::Json(200, json!({}))
        } else {
            Reply::Json(403, json!({ "code": "wrong_role", "message": "not for operators", "hint": "use an entry client" }))
        }
    });
    let file = write_persons(&tree, 1_000);
    let refused = import(&tree, &[node], &file, &["--keep-going"]).await.expect_err("not let in");
    assert_eq!((refused.kind, refused.message.as_str()), (FailureKind::Refused, "not for operators (wrong_role)"));
    assert!(received.lock().expect("kept").len() < 20, "it is not tried with every batch");
    let dead = import(&tree, &[ScriptedTree::dead_address()], &file, &[]).await.expect_err("nobody there");
    assert_eq!(dead.kind, FailureKind::Unreachable);
}
