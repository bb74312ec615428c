//! The transport over real sockets on loopback, with certificates made for each test.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::{Duration, Instant},
};

use kho_storage::ids::{NodeId, SiteId, SiteTime};
use rcgen::SanType;
use rustls::{pki_types::UnixTime, time_provider::TimeProvider};

use super::*;
use crate::{
    identity::{PeerIdentity, Role},
    tls::{
        self, Authority, CertificateClock, CertificateRequest, Credentials, NODE_VALIDITY_DAYS, VerifiedRequest, node_server_name,
        site_server_name,
    },
};

mod link;
mod raw_peer;
mod revoked;
mod silence;

use link::Link;
use raw_peer::{certificate_by_hand, dial_raw, raw_endpoint};

const NOW: SiteTime = SiteTime(1_800_000_000_000);
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A clock that stands still at so many days after [`NOW`].
#[derive(Debug)]
struct DaysLater(i64);

impl TimeProvider for DaysLater {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(NOW.0 / 1000 + self.0 * 86_400).expect("after 1970");
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

fn credentials(root: &Authority, site: u32, node: u64) -> Credentials {
    let request = CertificateRequest::for_node(root.tree(), SiteId(site), NodeId(node), &[]).expect("well formed");
    let verified = VerifiedRequest::from_pem(&request.csr_pem).expect("own request");
    let issued = root.sign(&verified, NOW, NODE_VALIDITY_DAYS).expect("own tree");
    Credentials::from_pem(root.certificate_pem(), &issued.certificate_pem, &request.key_pem).expect("they fit")
}

fn root() -> Authority {
    Authority::create("vn", NOW).expect("well formed")
}

fn bind_with(credentials: &Credentials, days_later: i64, limits: TransportLimits) -> Endpoint {
    let clock = CertificateClock::over(Arc::new(DaysLater(days_later)), None);
    Endpoint::bind(LOOPBACK, credentials, clock, limits).expect("a free port")
}

fn bind(credentials: &Credentials) -> Endpoint {
    bind_with(credentials, 0, TransportLimits::default())
}

fn name(site: u32, node: u64) -> String {
    node_server_name(SiteId(site), NodeId(node))
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().expect("ascii"))
}

/// A dialled connection and its other end.
async fn joined(from: &Endpoint, to: &Endpoint, server_name: &str, alpn: Alpn) -> (Connection, Connection) {
    joined_at(from, to.local_addr().expect("bound"), to, server_name, alpn).await
}

/// The same over an address that leads to `to`.
async fn joined_at(from: &Endpoint, addr: SocketAddr, to: &Endpoint, server_name: &str, alpn: Alpn) -> (Connection, Connection) {
    let (dialled, accepted) = tokio::join!(from.connect(addr, server_name, alpn), to.accept());
    (dialled.expect("admitted"), accepted.expect("open"))
}

/// Answers every call with the request's bytes reversed.
fn answer_reversed(connection: Connection) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while let Ok((mut sender, mut receiver)) = connection.accept_bi().await {
            tokio::spawn(async move {
                if let Ok(Some(request)) = receiver.recv().await {
                    let answer: Vec<u8> = request.iter().rev().copied().collect();
                    // The caller may have gone; that does not concern this end.
                    let _ = sender.send(&answer).await;
                }
            });
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_travel_whole_and_in_order_both_ways() {
    let root = root();
    let (here, there) = (bind(&credentials(&root, 1, 1)), bind(&credentials(&root, 2, 1)));
    let (dialled, accepted) = joined(&here, &there, &site_server_name(SiteId(2)), Alpn::Link).await;
    assert_eq!(dialled.peer_node(), (SiteId(2), NodeId(1)));
    assert_eq!(accepted.peer().to_string(), "kho://vn/site/1/node/1");
    assert_eq!((dialled.alpn(), accepted.alpn()), (Alpn::Link, Alpn::Link));

    let large: Vec<u8> = (0..10_000_000u32).map(|n| n.to_le_bytes()[1]).collect();
    let expected = large.clone();
    let asking = tokio::spawn(async move {
        let (mut sender, mut receiver) = dialled.open_bi().await.expect("open");
        sender.send(b"").await.expect("sent");
        sender.send_parts(&[b"one ", b"frame"]).await.expect("sent");
        sender.send_parts(&[&large[..9_000_000], &large[9_000_000..]]).await.expect("sent");
        sender.finish().expect("not yet finished");
        assert_eq!(receiver.recv().await.expect("answered").as_deref(), Some(&b"done"[..]));
        assert_eq!(receiver.recv().await, Ok(None));
        dialled
    });
    let (mut sender, mut receiver) = accepted.accept_bi().await.expect("opened");
    assert_eq!(receiver.recv().await.expect("sent").as_deref(), Some(&b""[..]));
    assert_eq!(receiver.recv().await.expect("sent").as_deref(), Some(&b"one frame"[..]));
    assert!(receiver.recv().await.expect("sent").expect("a frame") == expected, "ten megabytes arrive unchanged");
    assert_eq!(receiver.recv().await, Ok(None));
    sender.send(b"done").await.expect("sent");
    drop(sender);
    let dialled = asking.await.expect("no panic");

    dialled.close(CloseCode::FIRST_OF_USERS, "read enough");
    let lost = accepted.closed().await;
    assert_eq!(lost, ConnectionLost::ClosedByPeer { code: CloseCode(16), reason: "read enough".into() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_beyond_the_limit_is_refused_at_both_ends() {
    let root = root();
    let small = TransportLimits { frame_bytes_max: 1000, ..TransportLimits::default() };
    let (here, there) = (bind(&credentials(&root, 1, 1)), bind_with(&credentials(&root, 1, 2), 0, small));
    let (dialled, accepted) = joined(&here, &there, &name(1, 2), Alpn::Site).await;

    let (mut sender, _answers) = dialled.open_bi().await.expect("open");
    sender.send(&[7; 1001]).await.expect("this end allows it");
    let (mut refusing, mut receiver) = accepted.accept_bi().await.expect("opened");
    let refused = FrameIoError::PeerMisbehaved(Misbehaviour::FrameTooLong { announced_bytes: 1001, max_bytes: 1000 });
    assert_eq!(receiver.recv().await, Err(refused));

    let local = refusing.send(&[7; 1001]).await;
    assert_eq!(local, Err(FrameIoError::Local(LocalFault::FrameTooLong { bytes: 1001, max_bytes: 1000 })));
    refusing.send(&[7; 1000]).await.expect("a refused frame leaves the stream usable");

    let answering = answer_reversed(accepted);
    let over = dialled.call(&[7; 600], 599).await;
    assert_eq!(over, Err(FrameIoError::PeerMisbehaved(Misbehaviour::FrameTooLong { announced_bytes: 600, max_bytes: 599 })));
    assert_eq!(dialled.call(&[7; 600], 600).await.expect("within the limit").len(), 600);
    answering.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_abandoned_midway_differs_from_a_stream_that_ended() {
    let root = root();
    let (here, there) = (bind(&credentials(&root, 1, 1)), bind(&credentials(&root, 1, 2)));
    let (dialled, accepted) = joined(&here, &there, &name(1, 2), Alpn::Site).await;
    let (mut sender, _answers) = dialled.open_bi().await.expect("open");
    // More than the stream's window, and nobody reads: the send can't end by itself.
    let large = vec![0; 12 * 1024 * 1024];
    assert!(tokio::time::timeout(Duration::from_millis(500), sender.send(&large)).await.is_err());
    assert_eq!(sender.send(b"more").await, Err(FrameIoError::Local(LocalFault::StreamClosed)));
    drop(sender);
    let (_answers, mut receiver) = accepted.accept_bi().await.expect("opened");
    assert_eq!(receiver.recv().await, Err(FrameIoError::CancelledByPeer { code: CloseCode::CANCELLED }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_at_once_are_all_answered() {
    let root = root();
    let (here, there) = (bind(&credentials(&root, 1, 1)), bind(&credentials(&root, 1, 2)));
    let (dialled, accepted) = joined(&here, &there, &name(1, 2), Alpn::Site).await;
    let answering = answer_reversed(accepted);
    let calls = (0..1000u32).map(|n| {
        let connection = dialled.clone();
        tokio::spawn(async move {
            let answer = connection.call(&n.to_be_bytes(), 16).await.expect("answered");
            assert_eq!(&answer[..], n.to_le_bytes());
        })
    });
    for call in futures::future::join_all(calls).await {
        call.expect("no panic");
    }
    answering.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_call_leaves_the_connection_usable() {
    let root = root();
    let (here, there) = (bind(&credentials(&root, 1, 1)), bind(&credentials(&root, 1, 2)));
    let (dialled, accepted) = joined(&here, &there, &name(1, 2), Alpn::Site).await;
    for _ in 0..600 {
        // Nobody accepts yet; more of these than streams may be open must not use the streams up.
        assert!(tokio::time::timeout(Duration::from_millis(1), dialled.call(b"never mind", 16)).await.is_err());
    }
    let answering = answer_reversed(accepted);
    assert_eq!(&dialled.call(b"abc", 16).await.expect("answered")[..], b"cba");
    answering.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_of_another_root_are_refused_by_both_ends() {
    let (ours, theirs) = (root(), root());
    let (here, there) = (bind(&credentials(&ours, 1, 1)), bind(&credentials(&theirs, 1, 2)));
    let addr = there.local_addr().expect("bound");
    let refused = here.connect(addr, &name(1, 2), Alpn::Site).await.expect_err("another root");
    assert!(matches!(refused, ConnectError::PeerMisbehaved { .. }), "{refused}");

    // A dialler that trusts the other root, but bears a certificate of its own.
    let (chain, key) = certificate_by_hand(&theirs, vec![uri("kho://vn/site/1/node/9")]);
    let raw = raw_endpoint(&ours, &chain, &key, Alpn::Site.wire_name());
    let outcome = dial_raw(&raw, &here, &name(1, 1)).await;
    assert!(matches!(outcome, Err(ConnectionLost::RefusedByPeer { .. })), "{outcome:?}");
    assert!(tokio::time::timeout(Duration::from_millis(200), here.accept()).await.is_err(), "nobody was let in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_certificate_is_refused_and_the_clock_is_named() {
    let root = root();
    let late = i64::from(NODE_VALIDITY_DAYS) + 1;
    let (here, there) = (bind(&credentials(&root, 1, 1)), bind_with(&credentials(&root, 1, 2), late, TransportLimits::default()));
    // The accepting end's clock is late: it refuses ours.
    let refused = here.connect(there.local_addr().expect("bound"), &name(1, 2), Alpn::Site).await.expect_err("expired there");
    assert!(matches!(&refused, ConnectError::RefusedByPeer { reason, .. } if reason.contains("not in its time")), "{refused}");
    // The dialling end's clock is late: we refuse theirs.
    let refused = there.connect(here.local_addr().expect("bound"), &name(1, 1), Alpn::Site).await.expect_err("expired here");
    assert!(matches!(&refused, ConnectError::PeerMisbehaved { reason, .. } if reason.contains("judged here at 2029-")), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_lost_to_1970_or_of_years_ahead_is_carried_by_what_is_vouched_for() {
    let root = root();
    let there = bind(&credentials(&root, 1, 2));
    let addr = there.local_addr().expect("bound");
    for days_later in [-NOW.0 / 86_400_000, 3_650] {
        let own = credentials(&root, 1, 1);
        let wrong = CertificateClock::over(Arc::new(DaysLater(days_later)), Some(own.validity()));
        let here = Endpoint::bind(LOOPBACK, &own, wrong.clone(), TransportLimits::default()).expect("a free port");
        assert!(here.connect(addr, &name(1, 2), Alpn::Site).await.is_err(), "by its own clock nothing is in its time");
        wrong.vouch(NOW);
        here.connect(addr, &name(1, 2), Alpn::Site).await.expect("what is vouched for says otherwise");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_site_committed_a_time_of_the_future_is_reached_and_reaches_others_once_its_clock_is_right() {
    let root = root();
    let own = credentials(&root, 1, 1);
    let right = CertificateClock::over(Arc::new(DaysLater(0)), Some(own.validity()));
    right.vouch(SiteTime(NOW.0 + 3 * 365 * 86_400_000));
    let here = Endpoint::bind(LOOPBACK, &own, right, TransportLimits::default()).expect("a free port");
    let there = bind(&credentials(&root, 1, 2));
    here.connect(there.local_addr().expect("bound"), &name(1, 2), Alpn::Site).await.expect("it reaches others");
    there.connect(here.local_addr().expect("bound"), &name(1, 1), Alpn::Site).await.expect("others reach it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn genuine_certificates_without_a_nodes_name_are_refused() {
    let root = root();
    let there = bind(&credentials(&root, 1, 1));
    let node = PeerIdentity::of_node("vn", SiteId(1), NodeId(2)).expect("well formed").to_string();
    let operator = PeerIdentity::new("vn", Role::Operator { site: None, name: "an".into() }).expect("well formed").to_string();
    let cases = [
        (vec![], "bears no kho:// name"),
        (vec![uri(&node), uri(&node)], "bears 2 kho:// names"),
        (vec![uri("kho://vn/site/01/node/2")], "is refused"),
        (vec![uri("kho://other/site/1/node/2")], "tree `other`"),
        (vec![uri(&operator)], "is not a node"),
    ];
    for (names, expected) in cases {
        let (chain, key) = certificate_by_hand(&root, names);
        let raw = raw_endpoint(&root, &chain, &key, Alpn::Site.wire_name());
        let outcome = dial_raw(&raw, &there, &name(1, 1)).await;
        let Err(ConnectionLost::ClosedByPeer { code, reason }) = outcome else { panic!("{expected}: {outcome:?}") };
        assert_eq!(code, CloseCode::NOT_ADMITTED);
        assert!(reason.contains(expected), "{reason}");
    }
    assert!(tokio::time::timeout(Duration::from_millis(200), there.accept()).await.is_err(), "nobody was let in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_protocol_is_refused() {
    let root = root();
    let there = bind(&credentials(&root, 1, 1));
    let (chain, key) = certificate_by_hand(&root, vec![uri("kho://vn/site/1/node/2")]);
    let raw = raw_endpoint(&root, &chain, &key, b"kho-site/2");
    let outcome = dial_raw(&raw, &there, &name(1, 1)).await;
    assert!(matches!(&outcome, Err(ConnectionLost::RefusedByPeer { reason }) if reason.contains("protocol")), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_site_can_not_stand_in_for_the_one_dialled() {
    let root = root();
    let (here, there) = (bind(&credentials(&root, 1, 1)), bind(&credentials(&root, 3, 1)));
    let addr = there.local_addr().expect("bound");
    for wanted in [site_server_name(SiteId(2)), name(2, 1), name(3, 2)] {
        let refused = here.connect(addr, &wanted, Alpn::Link).await.expect_err("another site or node");
        assert!(matches!(refused, ConnectError::PeerMisbehaved { .. }), "{refused}");
    }
    here.connect(addr, &site_server_name(SiteId(3)), Alpn::Link).await.expect("the right site");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_peer_is_detected_by_the_idle_timeout() {
    let root = root();
    let hasty = TransportLimits {
        keep_alive_interval: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(1000),
        ..TransportLimits::default()
    };
    let (here, there) = (bind_with(&credentials(&root, 1, 1), 0, hasty.clone()), bind_with(&credentials(&root, 1, 2), 0, hasty));
    let link = Link::between(here.local_addr().expect("bound"), there.local_addr().expect("bound"));
    let (dialled, accepted) = joined_at(&here, link.addr(), &there, &name(1, 2), Alpn::Site).await;

    // Keep-alives carry a silent but living connection well beyond the timeout.
    assert!(tokio::time::timeout(Duration::from_millis(2500), dialled.closed()).await.is_err());
    link.cut();
    let since = Instant::now();
    assert_eq!(dialled.closed().await, ConnectionLost::TimedOut);
    assert_eq!(accepted.closed().await, ConnectionLost::TimedOut);
    assert!(since.elapsed() < Duration::from_secs(5), "detected after {:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_peer_is_detected_at_its_next_packet() {
    let root = root();
    let theirs = credentials(&root, 1, 2);
    let (here, there) = (bind(&credentials(&root, 1, 1)), bind(&theirs));
    let link = Link::between(here.local_addr().expect("bound"), there.local_addr().expect("bound"));
    let (dialled, _accepted) = joined_at(&here, link.addr(), &there, &name(1, 2), Alpn::Site).await;

    // The same node again, as after a kill: the old process says no good-bye, the link now leads to the new one.
    let again = bind(&theirs);
    link.lead_to(again.local_addr().expect("bound"));
    let since = Instant::now();
    let unanswered = tokio::spawn({
        let dialled = dialled.clone();
        async move { dialled.call(b"are you there?", 16).await }
    });
    assert_eq!(dialled.closed().await, ConnectionLost::PeerRestarted);
    assert!(since.elapsed() < Duration::from_secs(2), "detected after {:?}", since.elapsed());
    assert!(unanswered.await.expect("no panic").is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_handshake_holds_up_nobody() {
    let root = root();
    let tight = TransportLimits { handshakes_max: 4, handshake_timeout: Duration::from_millis(1500), ..TransportLimits::default() };
    let (here, there) = (bind(&credentials(&root, 1, 1)), bind_with(&credentials(&root, 1, 2), 0, tight));
    // Two diallers that send their first packet and then fall silent.
    let silent: Vec<_> = (0..2).map(|_| Link::between(here.local_addr().expect("bound"), there.local_addr().expect("bound"))).collect();
    for link in &silent {
        link.one_way();
        let (here, addr) = (here.clone(), link.addr());
        tokio::spawn(async move { here.connect(addr, &name(1, 2), Alpn::Site).await });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let since = Instant::now();
    joined(&here, &there, &name(1, 2), Alpn::Site).await;
    assert!(since.elapsed() < Duration::from_secs(1), "let in after {:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_at_the_address_is_unreachable_and_not_misbehaving() {
    let root = root();
    let hasty = TransportLimits { handshake_timeout: Duration::from_millis(500), ..TransportLimits::default() };
    let here = bind_with(&credentials(&root, 1, 1), 0, hasty);
    let empty = UdpSocket::bind(LOOPBACK).expect("a free port").local_addr().expect("bound");
    let refused = here.connect(empty, &name(1, 2), Alpn::Site).await.expect_err("nobody there");
    assert!(matches!(refused, ConnectError::PeerUnreachable { .. }), "{refused}");
    let local = here.connect(empty, "no server name", Alpn::Site).await.expect_err("malformed");
    assert!(matches!(local, ConnectError::Local { .. }), "{local}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_endpoint_says_so_to_its_peers_and_accepts_no_more() {
    let root = root();
    let (here, there) = (bind(&credentials(&root, 1, 1)), bind(&credentials(&root, 1, 2)));
    let (dialled, _accepted) = joined(&here, &there, &name(1, 2), Alpn::Site).await;
    there.close(CloseCode::SHUTDOWN, "stopping");
    assert!(there.accept().await.is_none());
    assert!(matches!(dialled.closed().await, ConnectionLost::ClosedByPeer { code: CloseCode::SHUTDOWN, .. }));
    there.wait_idle().await;
}

#[tokio::test]
async fn only_a_node_opens_an_endpoint() {
    let root = root();
    let person = PeerIdentity::new("vn", Role::Operator { site: None, name: "an".into() }).expect("well formed");
    let request = CertificateRequest::for_person(person).expect("an operator");
    let issued = root.sign(&VerifiedRequest::from_pem(&request.csr_pem).expect("own request"), NOW, 10).expect("own tree");
    let credentials = Credentials::from_pem(root.certificate_pem(), &issued.certificate_pem, &request.key_pem).expect("they fit");
    let refused = Endpoint::bind(LOOPBACK, &credentials, CertificateClock::system(), TransportLimits::default());
    assert!(matches!(refused, Err(BindError::NotANode(_))));
}

#[test]
fn the_server_side_of_https_shares_the_credentials() {
    let root = root();
    let credentials = credentials(&root, 1, 1);
    let clock = CertificateClock::system();
    let config = tls::server_config(&credentials, &[tls::ALPN_HTTP], tls::ClientCertificate::Optional, clock).expect("usable");
    assert_eq!(config.alpn_protocols, [tls::ALPN_HTTP.to_vec()]);
    assert_eq!((config.send_tls13_tickets, config.max_early_data_size), (0, 0));
}
