//! A connection to a parent: dialled, and then frames are moved both ways until it ends.

use std::{convert::Infallible, sync::Arc, time::Duration};

use futures::stream::{FuturesUnordered, StreamExt as _};
use kho_replication::{
    frames::{ParentFrame, RegisterOffer},
    quic::{Alpn, CloseCode, ConnectError, Connection},
    site_clock::Neighbour,
    tls::site_server_name,
    uplink::{DialFailure, LinkFailure, LinkId, UplinkInput},
};
use kho_storage::ids::SiteId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{fetch_register::fetch_registers, inputs::Inputs};
use crate::{
    connection_meter::ConnectionMeter,
    link_movement::{LinkMovement, MOVEMENT_INTERVAL},
    node::Node,
};

/// Between the beginnings of attempts to reach a site's nodes.
const DIAL_STAGGER: Duration = Duration::from_millis(300);

/// What the driver gives to the task that holds a connection.
pub(super) struct DriverEnds {
    pub outgoing: mpsc::Receiver<Vec<u8>>,
    pub wanted: mpsc::Receiver<RegisterOffer>,
    pub closing: CancellationToken,
}

/// Dials and then moves frames both ways until the connection ends.
pub(super) async fn hold_connection(
    node: Arc<Node>,
    link: LinkId,
    site: SiteId,
    addresses: Vec<String>,
    DriverEnds { outgoing, wanted, closing }: DriverEnds,
    inputs: Inputs,
) {
    let connection = tokio::select! {
        dialled = dial(&node, site, &addresses) => dialled,
        () = closing.cancelled() => return,
    };
    let failure = match connection {
        Ok(connection) => {
            let detail = tokio::select! {
                why = move_frames(&node, &connection, link, outgoing, &closing, &inputs) => why,
                never = report_movement(&connection, link, &inputs) => match never {},
                never = fetch_registers(&connection, link, wanted, &inputs) => match never {},
                never = ConnectionMeter::new(&connection).run() => match never {},
            };
            connection.close(CloseCode::SHUTDOWN, "done");
            LinkFailure::ConnectionLost { detail }
        }
        Err(failure) => failure,
    };
    inputs.send(UplinkInput::LinkLost { link, failure }).await;
}

/// Reports that bytes move, as long as the connection is held.
async fn report_movement(connection: &Connection, link: LinkId, inputs: &Inputs) -> Infallible {
    let (mut movement, mut interval) = (LinkMovement::default(), tokio::time::interval(MOVEMENT_INTERVAL));
    loop {
        interval.tick().await;
        if movement.moved(connection) {
            inputs.send(UplinkInput::LinkMoves { link }).await;
        }
    }
}

async fn move_frames(
    node: &Node,
    connection: &Connection,
    link: LinkId,
    mut outgoing: mpsc::Receiver<Vec<u8>>,
    closing: &CancellationToken,
    inputs: &Inputs,
) -> String {
    let (mut sender, mut receiver) = match connection.open_bi().await {
        Ok(stream) => stream,
        Err(error) => return error.to_string(),
    };
    inputs.send(UplinkInput::LinkOpened { link }).await;
    let send = async {
        while let Some(frame) = outgoing.recv().await {
            if let Err(error) = sender.send(&frame).await {
                return error.to_string();
            }
        }
        // The driver dropped the connection: let what was sent arrive.
        let _ = sender.finish();
        std::future::pending().await
    };
    let receive = async {
        loop {
            match receiver.recv().await {
                Ok(Some(bytes)) => {
                    let input = match ParentFrame::decode(&bytes) {
                        Ok(ParentFrame::Clock(theirs)) => {
                            node.clock.hear(Neighbour::Parent, theirs);
                            continue;
                        }
                        Ok(frame) => UplinkInput::FrameReceived { link, frame },
                        Err(error) => UplinkInput::FrameRefused { link, error },
                    };
                    inputs.send_frame(input, bytes.len()).await;
                }
                Ok(None) => return "the parent closed the connection".to_string(),
                Err(error) => return error.to_string(),
            }
        }
    };
    tokio::select! {
        why = send => why,
        why = receive => why,
        () = closing.cancelled() => "this site ended it".into(),
    }
}

/// Connects to the node of `site` that answers first. The addresses are tried in their order, each a little after the one before,
/// so that a dead node costs no more than that.
pub async fn dial(node: &Node, site: SiteId, addresses: &[String]) -> Result<Connection, LinkFailure> {
    let mut attempts: FuturesUnordered<_> = addresses
        .iter()
        .zip(0..)
        .map(|(address, place)| async move {
            tokio::time::sleep(DIAL_STAGGER * place).await;
            dial_one(node, site, address).await.map_err(|(kind, why)| (kind, format!("{address}: {why}")))
        })
        .collect();
    let mut failures = Vec::new();
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok(connection) => return Ok(connection),
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() {
        failures.push((DialFailure::Unreachable, format!("the register gives no address of site {site}")));
    }
    Err(LinkFailure::of_dials(&failures))
}

async fn dial_one(node: &Node, site: SiteId, address: &str) -> Result<Connection, (DialFailure, String)> {
    let unresolved = |why: String| (DialFailure::Unreachable, why);
    let mut resolved = tokio::net::lookup_host(address).await.map_err(|e| unresolved(e.to_string()))?;
    let resolved = resolved.next().ok_or_else(|| unresolved("the name has no address".into()))?;
    let connection = node.endpoint.connect(resolved, &site_server_name(site), Alpn::Link).await.map_err(|error| {
        let kind = match error {
            ConnectError::PeerMisbehaved { .. } => DialFailure::WrongPeer,
            ConnectError::RefusedByPeer { .. } => DialFailure::Refused,
            ConnectError::PeerUnreachable { .. } | ConnectError::Local { .. } => DialFailure::Unreachable,
        };
        (kind, error.to_string())
    })?;
    let (found, _) = connection.peer_node();
    if found == site {
        return Ok(connection);
    }
    connection.close(CloseCode::NOT_ADMITTED, "another site was dialled");
    Err((DialFailure::WrongPeer, format!("a node of site {found} answers, not of site {site}")))
}
