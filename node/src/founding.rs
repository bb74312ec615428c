//! Before a site is founded it asks whether it was founded before: its own nodes, and its parents over the link.
//!
//! A second founding would write the same stream again from its beginning, and nothing of it could go up. A parent says so by the heads
//! that it holds of the site's own origins, which nodes of the site signed.

use std::time::{Duration, Instant};

use futures::future::join_all;
use kho_replication::{
    frames::{ChildFrame, Goodbye, Hello, ParentFrame, Welcome},
    quic::{CloseCode, Connection},
};
use kho_storage::{
    checks::check_author,
    ids::{NodeId, SiteId, StreamSeq},
    register::{SiteEntry, VerifiedRegister},
    stream::SignedHead,
};

use crate::{node::Node, uplink_driver::dial};

/// How long a parent may be silent: until a connection stands, and then between any bytes of its answer, which is some ten KB long.
const ASK_SILENCE_MAX: Duration = Duration::from_secs(8);
/// How long one parent may take in all, through every node that it redirects to. Less than `kho` waits for this node.
const ASK_TIMEOUT: Duration = Duration::from_secs(40);
/// A parent that fails to answer is asked again for so long: it may just have been founded, and not know yet who leads it.
const ASKED_AGAIN_FOR: Duration = Duration::from_secs(15);
/// Between two attempts.
const ASK_PAUSE: Duration = Duration::from_millis(500);
/// A parent passes on to its leader so often at most.
const REDIRECTS_MAX: usize = 3;

/// What is known of an earlier founding.
#[derive(Debug, Default)]
pub struct Asked {
    /// A node of this site that runs already.
    pub running: Option<NodeId>,
    /// Heads of this site's own that parents hold, with who showed them. The furthest first.
    pub shown: Vec<(SiteId, SignedHead)>,
    /// Parents that did not answer, each with the reason.
    pub silent: Vec<(SiteId, String)>,
}

/// Asks every node of this site that `register` gives an address beside `named` ones, and every parent that it names.
pub async fn ask(node: &Node, register: &VerifiedRegister, site: &SiteEntry, named: &[String]) -> Asked {
    let others: Vec<String> = site.addresses.iter().filter(|address| !named.contains(address)).cloned().collect();
    let nodes: Vec<NodeId> = site.nodes.iter().map(|entry| entry.node).collect();
    let parents = site.parents.iter().filter_map(|parent| register.site(*parent));
    let answers = join_all(parents.map(|parent| async move { (parent.site, ask_for_a_while(node, register, parent).await) }));
    let (running, answers) = tokio::join!(node.consensus.founded_member(&nodes, &others), answers);
    let mut asked = Asked { running, ..Asked::default() };
    for (parent, answer) in answers {
        match answer {
            Ok(heads) => asked.shown.extend(heads.into_iter().map(|head| (parent, head))),
            Err(why) => {
                tracing::warn!(%parent, why, "a parent could not be asked whether this site was founded before");
                asked.silent.push((parent, why));
            }
        }
    }
    asked.shown.sort_by_key(|(_, signed)| std::cmp::Reverse(signed.head.seq));
    asked
}

/// Asks again for a while until the parent answers; why it did not at last, when it never does.
async fn ask_for_a_while(node: &Node, register: &VerifiedRegister, parent: &SiteEntry) -> Result<Vec<SignedHead>, String> {
    let begun = Instant::now();
    let asking = async {
        loop {
            match ask_parent(node, register, parent).await {
                Err(_) if begun.elapsed() < ASKED_AGAIN_FOR => tokio::time::sleep(ASK_PAUSE).await,
                answer => return answer,
            }
        }
    };
    tokio::time::timeout(ASK_TIMEOUT, asking).await.unwrap_or_else(|_| Err(format!("no answer within {ASK_TIMEOUT:?}")))
}

/// Heads of batches of this site's own that the parent holds.
async fn ask_parent(node: &Node, register: &VerifiedRegister, parent: &SiteEntry) -> Result<Vec<SignedHead>, String> {
    let mut addresses = parent.addresses.clone();
    for _ in 0..REDIRECTS_MAX {
        let dialled = tokio::time::timeout(ASK_SILENCE_MAX, dial(node, parent.site, &addresses)).await;
        let connection =
            dialled.map_err(|_| format!("no connection within {ASK_SILENCE_MAX:?}"))?.map_err(|failure| failure.to_string())?;
        let answer = greet(node, register, &connection).await;
        connection.close(CloseCode::SHUTDOWN, "done");
        match answer? {
            Greeted::Welcome(welcome) => {
                let own = |signed: &SignedHead| {
                    signed.site == node.site() && signed.head.seq > StreamSeq(0) && check_author(signed, register).is_ok()
                };
                return Ok(welcome.heads.into_iter().filter(own).collect());
            }
            Greeted::Redirect(leader) => addresses = leader,
        }
    }
    Err("its nodes redirect this site to each other".into())
}

enum Greeted {
    Welcome(Welcome),
    Redirect(Vec<String>),
}

async fn greet(node: &Node, register: &VerifiedRegister, connection: &Connection) -> Result<Greeted, String> {
    let (mut sender, mut receiver) = connection.open_bi().await.map_err(|error| error.to_string())?;
    let hello = Hello {
        levels: node.warehouse.level_offer(),
        site: node.site(),
        node: node.config.node,
        register_version: register.version(),
        register_hash: register.hash(),
        streams: vec![],
    };
    let frame = ChildFrame::Hello(hello).encode().map_err(|error| error.to_string())?;
    sender.send(&frame).await.map_err(|error| error.to_string())?;
    let answer =
        receiver.recv_unless_silent(ASK_SILENCE_MAX).await.map_err(|error| error.to_string())?.ok_or("it closed the connection")?;
    match ParentFrame::decode(&answer).map_err(|error| error.to_string())? {
        ParentFrame::Welcome(welcome) => {
            let goodbye = ChildFrame::Goodbye(Goodbye::Stopping).encode().map_err(|error| error.to_string())?;
            // The parent ends the connection on its own when this is lost.
            let _ = sender.send(&goodbye).await;
            Ok(Greeted::Welcome(welcome))
        }
        ParentFrame::Redirect { addresses } => Ok(Greeted::Redirect(addresses)),
        ParentFrame::Goodbye(reason) => Err(reason.to_string()),
        other => Err(format!("it answered with {}", other.kind())),
    }
}
