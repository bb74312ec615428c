//! The client over real sockets and real certificates: where it goes next, and what it never sends twice.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use kho_node::{
    api::{NodePlace, SiteInit},
    entry::UnnamedColumns,
};
use kho_storage::{ids::OriginId, register::SignedRegister};
use serde_json::json;

use super::{
    BatchUpload, CallError,
    scripted_node::{Reply, ScriptedTree},
};
use crate::failure::{Failure, FailureKind};

fn batch() -> BatchUpload {
    BatchUpload {
        request_key: "k-1".into(),
        table: Some("person".into()),
        content_type: "text/csv",
        unnamed: UnnamedColumns::Stay,
        body: "a\n1\n".into(),
    }
}

fn accepted() -> Reply {
    Reply::Json(200, json!({ "origin": 7, "epoch": "1-0", "seq": 1, "rows": 1, "repeated": false, "request_key": "k-1" }))
}

fn busy(retry_after_ms: u64) -> Reply {
    Reply::Json(503, json!({ "code": "busy", "message": "no leader", "hint": "wait", "retry_after_ms": retry_after_ms }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_goes_on_at_the_next_node_with_the_same_key_when_one_dies_under_it() {
    let tree = ScriptedTree::new();
    let (first, at_first) = tree.serve(1, |_, _| Reply::Nothing);
    let (second, at_second) = tree.serve(2, |_, before| if before == 0 { busy(250) } else { accepted() });
    let client = tree.connection(&[first, ScriptedTree::dead_address(), second]).open().expect("usable");
    let answer = client.enter(batch()).await.expect("the second node takes it");
    assert_eq!(answer.rows, 1);
    let seen: Vec<_> = at_first.lock().expect("kept").iter().chain(at_second.lock().expect("kept").iter()).cloned().collect();
    assert!(seen.len() >= 3, "dropped, busy, taken: {seen:?}");
    for request in seen {
        assert_eq!(
            (request.line.as_str(), request.header("kho-request-key"), request.header("content-type")),
            ("POST /v1/batches?table=person", Some("k-1"), Some("text/csv"))
        );
        assert_eq!(request.body, b"a\n1\n");
    }
    assert_eq!(client.node().to_string(), format!("https://{second}"), "the node that answered is tried first the next time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_non_idempotent_request_that_may_have_arrived_is_unknown_and_is_never_sent_again() {
    let tree = ScriptedTree::new();
    let (node, received) = tree.serve(1, |_, _| Reply::Nothing);
    let client = tree.connection(&[node, node]).open().expect("usable");
    let place = NodePlace { node: 1, quic_address: "a:1".into(), https_address: "b:1".into() };
    let register = SignedRegister { text: String::new(), signatures: vec![] };
    let failed = client
        .init_site(&SiteInit { nodes: vec![place], register, again: false, parent_unreachable: false })
        .await
        .expect_err("no answer came");
    assert_eq!(Failure::from(failed).kind, FailureKind::Unknown);
    assert_eq!(received.lock().expect("kept").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_without_a_running_node_is_unreachable_soon() {
    let tree = ScriptedTree::new();
    let client = tree.connection(&[ScriptedTree::dead_address(), ScriptedTree::dead_address()]).open().expect("usable");
    let started = Instant::now();
    assert_eq!(Failure::from(client.status().await.expect_err("nobody answers")).kind, FailureKind::Unreachable);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_reported_in_the_node_s_own_words() {
    let tree = ScriptedTree::new();
    let (node, _) =
        tree.serve(1, |_, _| Reply::Json(422, json!({ "code": "bad_rows", "message": "no", "hint": "fix it", "errors": [], "more": 0 })));
    let client = tree.connection(&[node]).open().expect("usable");
    let refused = Failure::from(client.enter(batch()).await.expect_err("refused"));
    assert_eq!(refused, Failure::refused("no (bad_rows)", "fix it"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_root_is_refused_at_once() {
    let (tree, foreign) = (ScriptedTree::new(), ScriptedTree::new());
    let (node, received) = foreign.serve(1, |_, _| accepted());
    let client = tree.connection(&[node]).open().expect("usable");
    let started = Instant::now();
    let refused = client.enter(batch()).await.expect_err("not of this tree");
    assert!(matches!(refused, CallError::Untrusted { .. }), "{refused:?}");
    assert!(started.elapsed() < Duration::from_secs(5) && received.lock().expect("kept").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_read_line_by_line_with_its_progress() {
    let tree = ScriptedTree::new();
    let hash = "00".repeat(32);
    let proof = json!({ "proof": { "origin": 7, "epoch": { "number": 1, "id": 0 }, "seq": 3, "chain": hash, "stored_digest": hash, "digest": hash, "stored_rows": 5, "rows": 5, "rows_by_table": { "2": 5 }, "cube_differences": [] } });
    let text =
        format!("{}\n{}\n{proof}\n", json!({ "progress": { "done": 2, "total": 5 } }), json!({ "progress": { "done": 5, "total": 5 } }));
    let (node, received) = tree.serve(1, move |_, before| match before {
        0 => Reply::Text(text.clone()),
        1 => Reply::Text(format!("{}\n", json!({ "failed": { "code": "disk", "message": "bad disk", "hint": "replace it" } }))),
        _ => Reply::Text(String::new()),
    });
    let client = tree.connection(&[node]).open().expect("usable");
    let calls = Arc::new(AtomicUsize::new(0));
    let proof = client
        .proof(OriginId(7), |_, _| {
            calls.fetch_add(1, Ordering::Relaxed);
        })
        .await
        .expect("proven")
        .expect("held");
    assert!(proof.holds() && calls.load(Ordering::Relaxed) == 2);
    assert_eq!(received.lock().expect("kept")[0].line, "GET /v1/origins/7/proof");
    let failed = client.proof(OriginId(7), |_, _| {}).await;
    assert!(matches!(failed, Err(CallError::Refused { .. })), "{failed:?}");
    let cut_short = client.proof(OriginId(7), |_, _| {}).await;
    assert!(matches!(cut_short, Err(CallError::Unreachable { .. })), "a proof without a result is none: {cut_short:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stood_after_a_batch_no_longer_kept_is_none() {
    let tree = ScriptedTree::new();
    let (node, _) = tree.serve(1, |_, _| Reply::Json(404, json!({ "code": "not_kept", "message": "trimmed", "hint": "" })));
    let client = tree.connection(&[node]).open().expect("usable");
    assert_eq!(client.stood_at(OriginId(7), kho_storage::ids::StreamSeq(3)).await, Ok(None));
}

#[test]
fn a_missing_node_or_identity_is_wrong_use() {
    let tree = ScriptedTree::new();
    assert_eq!(tree.connection(&[]).open().expect_err("no node").kind, FailureKind::Usage);
    let mut connection = tree.connection(&[ScriptedTree::dead_address()]);
    connection.identity = Some(tree.path("nowhere"));
    assert_eq!(connection.open().expect_err("no identity").kind, FailureKind::Usage);
}
