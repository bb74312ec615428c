//! Certificates that the register revokes.

use kho_storage::{
    register::{Register, RevokedIdentity, SignedRegister, VerifiedRegister},
    signature::{SignatureAlgorithm, SigningKey},
};

use super::*;

/// Far more than a cut takes, far less than the ten seconds that are promised.
const CUT_WITHIN: Duration = Duration::from_secs(5);

fn revoking(identity: &str) -> VerifiedRegister {
    let revoked_identities = vec![RevokedIdentity { identity: identity.into(), issued_before: SiteTime(NOW.0 + 1_000) }];
    let register =
        Register { tree: "vn".into(), version: 2, requires: vec![], roots: vec![], sites: vec![], origins: vec![], revoked_identities };
    let key = SigningKey::generate(SignatureAlgorithm::default()).expect("system randomness");
    SignedRegister::issue(&register, &key).expect("whole").verify(&key.public_key(), "vn").expect("good")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_certificate_is_refused_by_the_end_that_knows_and_says_so() {
    let root = root();
    let (here, there) = (bind(&credentials(&root, 1, 1)), bind(&credentials(&root, 1, 2)));
    there.revocations().replace(&revoking("kho://vn/site/1/node/1"));
    let refused = here.connect(there.local_addr().expect("bound"), &name(1, 2), Alpn::Site).await.expect_err("revoked");
    assert!(matches!(&refused, ConnectError::RefusedByPeer { reason, .. } if reason.contains("revoked")), "{refused}");
    // The dialling end judges too.
    let refused = there.connect(here.local_addr().expect("bound"), &name(1, 1), Alpn::Link).await.expect_err("revoked");
    assert!(refused.to_string().contains("revoked"), "{refused}");
    there.revocations().replace(&revoking("kho://vn/site/1/node/3"));
    joined(&here, &there, &name(1, 2), Alpn::Site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_stands_is_cut_when_its_certificate_is_revoked_also_when_only_a_stream_is_left_of_it() {
    let root = root();
    let (here, there) = (bind(&credentials(&root, 1, 1)), bind(&credentials(&root, 1, 2)));
    let (dialled, accepted) = joined(&here, &there, &name(1, 2), Alpn::Site).await;
    let (mut sender, receiver) = dialled.open_bi().await.expect("open");
    sender.send(b"one").await.expect("open");
    let (_kept_sender, mut kept) = accepted.accept_bi().await.expect("it was opened");
    drop(accepted);
    assert_eq!(kept.recv().await.expect("it was sent").as_deref(), Some(&b"one"[..]));
    there.revocations().replace(&revoking("kho://vn/site/1/node/1"));
    let lost = tokio::time::timeout(CUT_WITHIN, dialled.closed()).await.expect("it is cut");
    assert!(
        matches!(&lost, ConnectionLost::ClosedByPeer { code: CloseCode::NOT_ADMITTED, reason } if reason.contains("revoked")),
        "{lost}"
    );
    drop((sender, receiver));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_has_a_bounded_number_of_connections_and_the_refusal_says_so() {
    let root = root();
    let (here, other) = (bind(&credentials(&root, 1, 1)), bind(&credentials(&root, 1, 3)));
    let there = bind_with(&credentials(&root, 1, 2), 0, TransportLimits { connections_each_max: 2, ..TransportLimits::default() });
    let first = joined(&here, &there, &name(1, 2), Alpn::Site).await;
    let _second = joined(&here, &there, &name(1, 2), Alpn::Link).await;
    let at = there.local_addr().expect("bound");
    let refused = here.connect(at, &name(1, 2), Alpn::Site).await.expect_err("both places are taken");
    assert!(matches!(&refused, ConnectError::PeerUnreachable { reason, .. } if reason.contains("2 connections")), "{refused}");
    let _others = joined(&other, &there, &name(1, 2), Alpn::Site).await;
    first.0.close(CloseCode::SHUTDOWN, "done");
    tokio::time::timeout(CUT_WITHIN, first.1.closed()).await.expect("it ended");
    // The place is given back a moment after the connection has ended.
    for _ in 0..50 {
        if let Ok(_third) = here.connect(at, &name(1, 2), Alpn::Site).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the place of a connection that ended is never free again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_nobody_uses_any_more_ends_although_it_is_watched() {
    let root = root();
    let (here, there) = (bind(&credentials(&root, 1, 1)), bind(&credentials(&root, 1, 2)));
    let (dialled, accepted) = joined(&here, &there, &name(1, 2), Alpn::Site).await;
    drop(dialled);
    tokio::time::timeout(CUT_WITHIN, accepted.closed()).await.expect("its last user has gone");
}
