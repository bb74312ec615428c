//! Long frames over links of any speed: they may take as long as bytes arrive, and are given up in silence.

use std::time::Duration;

use bytes::Bytes;
use kho_storage::ids::SiteId;

use super::{bind, credentials, joined, root};
use crate::{
    quic::{Alpn, FrameIoError},
    tls::site_server_name,
};

const SILENCE_MAX: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(200);
const PIECE_BYTES: usize = 100;
const PIECES: usize = 15;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_answer_is_awaited_as_long_as_bytes_arrive_and_given_up_in_silence() {
    let root = root();
    let (here, there) = (bind(&credentials(&root, 1, 1)), bind(&credentials(&root, 2, 1)));
    let (dialled, accepted) = joined(&here, &there, &site_server_name(SiteId(2)), Alpn::Link).await;
    let whole = vec![7; PIECES * PIECE_BYTES];
    let answer = whole.clone();
    let answering = tokio::spawn(async move {
        for pieces in [PIECES, 3, PIECES] {
            let (mut sender, mut receiver) = accepted.accept_bi().await.expect("opened");
            assert_eq!(receiver.recv().await.expect("sent").as_deref(), Some(&b"a register"[..]));
            sender.drip(&answer, PIECE_BYTES, PAUSE, pieces).await.expect("it is awaited");
            if pieces < PIECES {
                tokio::time::sleep(2 * SILENCE_MAX).await;
            } else {
                sender.finish().expect("whole");
            }
        }
        accepted
    });
    let ask = async || dialled.call_unless_silent(b"a register", 1 << 20, SILENCE_MAX).await;
    assert!(PAUSE * 15 > 2 * SILENCE_MAX, "the answer takes longer than silence may last");
    assert_eq!(ask().await.as_deref(), Ok(&whole[..]));
    assert_eq!(ask().await, Err(FrameIoError::PeerSilent { silence_max: SILENCE_MAX }), "it stopped in the middle");
    tokio::time::sleep(3 * SILENCE_MAX).await;
    assert_eq!(ask().await.as_deref(), Ok(&whole[..]), "the connection goes on");
    drop(answering.await.expect("no panic"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_frame_that_waits_behind_others_comes_whole_or_waits_until_the_peer_cancels_it() {
    let root = root();
    let (here, there) = (bind(&credentials(&root, 1, 1)), bind(&credentials(&root, 2, 1)));
    let (dialled, accepted) = joined(&here, &there, &site_server_name(SiteId(2)), Alpn::Link).await;
    let long = Bytes::from((0..3_000_000u32).map(|n| n.to_le_bytes()[1]).collect::<Vec<u8>>());
    let (mut sender, _none) = dialled.open_bi().await.expect("open");
    sender.send_behind_others(long.clone()).await.expect("the window takes it");
    sender.send_behind_others(Bytes::new()).await.expect("an empty one");
    let (_none, mut receiver) = accepted.accept_bi().await.expect("opened");
    assert!(receiver.recv().await.expect("whole").as_ref() == Some(&long), "three megabytes arrive unchanged");
    assert_eq!(receiver.recv().await, Ok(Some(Bytes::new())));

    // More than the windows take, and nobody reads.
    let endless = Bytes::from(vec![0; 12 << 20]);
    let (mut unread, _none) = dialled.open_bi().await.expect("open");
    let (sent, ()) = tokio::join!(unread.send_behind_others(endless), async {
        // The peer learns of the stream by its first byte.
        let (_none, not_read) = accepted.accept_bi().await.expect("opened");
        tokio::time::sleep(2 * SILENCE_MAX).await;
        drop(not_read);
    });
    assert!(matches!(sent, Err(FrameIoError::CancelledByPeer { .. })), "{sent:?}: it waits until the peer wants it no more");
    sender.send(b"goes on").await.expect("the connection stands");
    assert_eq!(receiver.recv().await.expect("sent").as_deref(), Some(&b"goes on"[..]));
}
