//! The register and the site's membership.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use kho_replication::identity::PeerIdentity;
use kho_storage::{
    command::{Command, Outcome},
    ids::NodeId,
    register::SignedRegister,
};

use super::{
    access::{Right, check},
    reply::{Reply, refused},
};
use crate::{
    api::{Done, NodePlace, Problem, SiteInit},
    consensus::NodeAddress,
    node::Node,
};

/// The register that this site has adopted, with its signature.
#[utoipa::path(get, path = "/v1/register", responses((status = 200, description = "the signed register", body = Object), (status = 404, body = Problem)))]
pub async fn register(State(node): State<Arc<Node>>, Extension(who): Extension<PeerIdentity>) -> Reply<SignedRegister> {
    check(&node, &who, Right::Operate)?;
    match node.warehouse.signed_register()? {
        Some(signed) => Ok(Json(signed)),
        None => Err(refused(404, "no_register", "this site has no register yet", "give it one with `kho register apply`")),
    }
}

/// Adopts a newer register, signed by the centre.
#[utoipa::path(post, path = "/v1/register", request_body(content = Object, description = "the signed register"), responses((status = 200, body = Done), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub async fn adopt_register(
    State(node): State<Arc<Node>>,
    Extension(who): Extension<PeerIdentity>,
    Json(signed): Json<SignedRegister>,
) -> Reply<Done> {
    check(&node, &who, Right::Operate)?;
    // HttpError here already, so that nothing wrong takes a place in the site's log.
    let verified = signed
        .verify(node.warehouse.register_key(), node.warehouse.tree())
        .map_err(|e| refused(409, "register_refused", e.to_string(), "issue it again with `kho register issue`"))?;
    match node.consensus.propose(&Command::AdoptRegister { site_time: node.clock.now(), signed }).await? {
        Outcome::RegisterAdopted { version } if version == verified.version() => {
            Ok(Json(Done { done: format!("register version {version} stands") }))
        }
        Outcome::RegisterAdopted { version } => Err(refused(
            409,
            "register_older",
            format!("the site has register version {version}, this is version {}", verified.version()),
            "raise `version` and issue it again",
        )),
        other => Err(refused(
            409,
            "register_refused",
            format!("the register was refused: {other:?}"),
            "issue it again with `kho register issue`",
        )),
    }
}

/// Founds the site with its first nodes.
#[utoipa::path(post, path = "/v1/site/init", request_body = SiteInit, responses((status = 200, body = Done), (status = 409, body = Problem)))]
pub async fn init(State(node): State<Arc<Node>>, Extension(who): Extension<PeerIdentity>, Json(init): Json<SiteInit>) -> Reply<Done> {
    check(&node, &who, Right::Operate)?;
    if ![1, 3, 5].contains(&init.nodes.len()) {
        return Err(refused(400, "wrong_size", format!("a site has 1, 3 or 5 nodes, not {}", init.nodes.len()), "name that many members"));
    }
    let named = init.nodes.len();
    let members: BTreeMap<_, _> = init.nodes.into_iter().map(|place| (NodeId(place.node), address(place))).collect();
    let count = members.len();
    if count != named {
        return Err(refused(400, "node_twice", "a node is named twice", "give every node its own id"));
    }
    node.consensus.initialize(&members).await?;
    Ok(Json(Done { done: format!("site {} is founded with {count} nodes", node.site()) }))
}

/// Adds a fresh node and makes it a voter once it has caught up.
#[utoipa::path(post, path = "/v1/site/nodes", request_body = NodePlace, responses((status = 200, body = Done), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub async fn add_node(State(node): State<Arc<Node>>, Extension(who): Extension<PeerIdentity>, Json(place): Json<NodePlace>) -> Reply<Done> {
    check(&node, &who, Right::Operate)?;
    let added = NodeId(place.node);
    node.consensus.add_learner(added, address(place)).await?;
    node.consensus.promote(added).await?;
    Ok(Json(Done { done: format!("node {added} is a voter of site {}", node.site()) }))
}

/// Removes a node for good; its id is never used again.
#[utoipa::path(delete, path = "/v1/site/nodes/{node}", params(("node" = u64, Path)), responses((status = 200, body = Done), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub async fn remove_node(State(node): State<Arc<Node>>, Extension(who): Extension<PeerIdentity>, Path(removed): Path<u64>) -> Reply<Done> {
    check(&node, &who, Right::Operate)?;
    node.consensus.remove(NodeId(removed)).await?;
    Ok(Json(Done { done: format!("node {removed} was removed from site {}", node.site()) }))
}

fn address(place: NodePlace) -> NodeAddress {
    NodeAddress { quic: place.quic_address, https: place.https_address }
}
