//! The register, the site's membership and its time.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use kho_messages::Ordinal;
use kho_replication::identity::PeerIdentity;
use kho_storage::{
    command::{Command, Outcome, Refusal, ShownBy},
    ids::NodeId,
    register::{RegisterError, SignedRegister},
    warehouse::JudgedRegister,
};

use super::{
    access::{Right, check},
    fault::{OrderDone, RequestFault},
    reply::{OrderReply, Reply, Told},
};
use crate::{
    api::{AlarmKind, Done, NodePlace, Problem, SiteInit},
    audit::AUDIT,
    clock::machine_time,
    consensus::{MembersError, NodeAddress},
    founding,
    node::Node,
    reasons, register_watch,
};

/// The register that this site has adopted, with its signature.
#[utoipa::path(get, path = "/v1/register", responses((status = 200, description = "the signed register", body = Object), (status = 404, body = Problem)))]
pub async fn register(State(node): State<Arc<Node>>, Extension(who): Extension<PeerIdentity>) -> Reply<SignedRegister> {
    check(&node, &who, Right::Operate)?;
    match node.warehouse.signed_register()? {
        Some(signed) => Ok(Json(signed)),
        None => Err(RequestFault::NoRegister {}.into()),
    }
}

/// Adopts a newer register, signed by the centre.
#[utoipa::path(post, path = "/v1/register", request_body(content = Object, description = "the signed register"), responses((status = 200, body = Done), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub async fn adopt_register(
    State(node): State<Arc<Node>>,
    Extension(who): Extension<PeerIdentity>,
    Json(signed): Json<SignedRegister>,
) -> OrderReply {
    check(&node, &who, Right::Operate)?;
    // Refused here already, so that nothing wrong takes a place in the site's log.
    let signed = Arc::new(signed);
    let given = match node.judge_register(Arc::clone(&signed)).await.map_err(|error| refused(&node, error))? {
        JudgedRegister::Newer(verified) => {
            let version = verified.version();
            register_watch::offer(&node, Arc::new(*verified));
            version
        }
        JudgedRegister::NotNewer { held } => {
            let read = tokio::task::spawn_blocking(move || signed.unverified()).await.map_err(|error| {
                let detail = error.to_string();
                RequestFault::RegisterRefused { detail }
            })?;
            let given = read.map_err(|error| refused(&node, error))?.version;
            let (held, given) = (Ordinal(held), Ordinal(given));
            return if given == held {
                Ok(Told(OrderDone::RegisterStands { version: held }))
            } else {
                Err(RequestFault::RegisterOlder { held, given }.into())
            };
        }
    };
    match node.consensus.propose(&adopt(&node, Arc::unwrap_or_clone(signed))).await? {
        Outcome::RegisterAdopted { version } if version == given => Ok(Told(OrderDone::RegisterStands { version: Ordinal(version) })),
        Outcome::RegisterAdopted { version } => Err(RequestFault::RegisterOlder { held: Ordinal(version), given: Ordinal(given) }.into()),
        Outcome::Refused(Refusal::RegisterDoubled { version, held, given }) => {
            Err(refused(&node, RegisterError::Doubled { version, held, given }).into())
        }
        other => Err(RequestFault::RegisterRefused { detail: reasons::outcome(&other).detail }.into()),
    }
}

/// Founds the site with its first nodes and its first register. The site's parents and its other nodes are asked first whether it was
/// founded before; a parent that does not answer stands in the way, unless the operator says that it can't be asked.
#[utoipa::path(post, path = "/v1/site/init", request_body = SiteInit, responses((status = 200, body = Done), (status = 400, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub async fn init(State(node): State<Arc<Node>>, Extension(who): Extension<PeerIdentity>, Json(init): Json<SiteInit>) -> OrderReply {
    check(&node, &who, Right::Operate)?;
    if ![1, 3, 5].contains(&init.nodes.len()) {
        return Err(RequestFault::WrongSize { nodes: init.nodes.len() }.into());
    }
    let named = init.nodes.len();
    let members: BTreeMap<_, _> = init.nodes.into_iter().map(|place| (NodeId(place.node), address(place))).collect();
    let count = members.len();
    if count != named {
        return Err(RequestFault::NodeTwice {}.into());
    }
    if !node.consensus.is_fresh() {
        return Err(RequestFault::AlreadyFounded {}.into());
    }
    let given = Arc::new(init.register);
    let JudgedRegister::Newer(verified) = node.judge_register(Arc::clone(&given)).await.map_err(|error| refused(&node, error))? else {
        return Err(RequestFault::AlreadyFounded {}.into());
    };
    let entry = verified.site(node.site()).ok_or(RequestFault::SiteNotInRegister { site: site(&node) })?;
    // A parent whose certificate it revokes has nothing to say.
    node.endpoint.revocations().replace(&verified);
    let named: Vec<String> = members.values().map(|address| address.quic.clone()).collect();
    let asked = founding::ask(&node, &verified, entry, &named).await;
    if let Some(running) = asked.running {
        return Err(RequestFault::SiteRuns { site: site(&node), node: Ordinal(running.0) }.into());
    }
    if let (Some((parent, shown)), false) = (asked.shown.first(), init.again) {
        let (parent, origin) = (Ordinal(parent.0.into()), Ordinal(shown.head.origin.0.into()));
        return Err(RequestFault::FoundedBefore { parent, origin, batch: Ordinal(shown.head.seq.0) }.into());
    }
    if let (Some((parent, why)), false) = (asked.silent.first(), init.parent_unreachable) {
        return Err(RequestFault::ParentNotAsked { parent: Ordinal(parent.0.into()), detail: why.clone() }.into());
    }
    node.consensus.initialize(&members).await?;
    for (parent, why) in &asked.silent {
        tracing::warn!(target: AUDIT, %who, %parent, why, "the site was founded by an operator's word that this parent can't be asked");
    }
    node.consensus.propose(&adopt(&node, Arc::unwrap_or_clone(given))).await?;
    // What is shown by now need not be shown again before entry is closed.
    for (parent, signed) in asked.shown {
        node.consensus.propose(&Command::NoteSetBack { site_time: node.clock.now(), shown_by: ShownBy::Site(parent), signed }).await?;
    }
    let (site, nodes) = (site(&node), count);
    Ok(Told(match asked.silent.first() {
        Some((parent, _)) => OrderDone::SiteFoundedUnasked { site, nodes, parent: Ordinal(parent.0.into()) },
        None => OrderDone::SiteFounded { site, nodes },
    }))
}

fn adopt(node: &Node, signed: SignedRegister) -> Command {
    Command::AdoptRegister { site_time: node.clock.now(), pinned: node.warehouse.register_key().clone(), signed }
}

/// Who gave a second register of one version is told, and so is everybody else who looks.
fn refused(node: &Node, error: RegisterError) -> RequestFault {
    let RegisterError::Doubled { version, held, given } = error else {
        return RequestFault::RegisterRefused { detail: error.to_string() };
    };
    let (held, given) = (held.to_hex(), given.to_hex());
    node.alarms.raise(AlarmKind::RegisterDoubled { version, held: held.clone(), given: given.clone() }, node.clock.now());
    RequestFault::RegisterDoubled { version: Ordinal(version), held, given }
}

/// Adds a fresh node and makes it a voter once it has caught up.
#[utoipa::path(post, path = "/v1/site/nodes", request_body = NodePlace, responses((status = 200, body = Done), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub async fn add_node(State(node): State<Arc<Node>>, Extension(who): Extension<PeerIdentity>, Json(place): Json<NodePlace>) -> OrderReply {
    check(&node, &who, Right::Operate)?;
    let added = NodeId(place.node);
    if let Some(register) = node.warehouse.register()
        && !register.site(node.site()).is_some_and(|entry| entry.nodes.iter().any(|entry| entry.node == added))
    {
        return Err(RequestFault::NodeNotInRegister { node: Ordinal(added.0), version: Ordinal(register.version()) }.into());
    }
    node.consensus.add_learner(added, address(place)).await?;
    node.consensus.promote(added).await?;
    Ok(Told(OrderDone::NodeAdded { node: Ordinal(added.0), site: site(&node) }))
}

/// Removes a node for good; its id is never used again.
#[utoipa::path(delete, path = "/v1/site/nodes/{node}", params(("node" = u64, Path)), responses((status = 200, body = Done), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub async fn remove_node(State(node): State<Arc<Node>>, Extension(who): Extension<PeerIdentity>, Path(removed): Path<u64>) -> OrderReply {
    check(&node, &who, Right::Operate)?;
    let number = Ordinal(removed);
    match node.consensus.remove(NodeId(removed)).await {
        Ok(()) => Ok(Told(OrderDone::NodeRemoved { node: number, site: site(&node), revoking: revoking(&node, NodeId(removed))? })),
        // It may have been removed by an order whose answer was lost: what is left to revoke is told all the same.
        Err(MembersError::NotAMember(missing)) if missing == NodeId(removed) => {
            Err(RequestFault::NothingToRemove { node: number, revoking: revoking(&node, missing)? }.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// What `kho register revoke` is told to revoke a node: its certificate, and its signing key beyond where the streams stand now that
/// this site authors.
fn revoking(node: &Node, removed: NodeId) -> Result<String, RequestFault> {
    let identity = PeerIdentity::of_node(&node.config.tree, node.site(), removed)
        .map_err(|error| RequestFault::Unreadable { detail: error.to_string() })?;
    let register = node.warehouse.register();
    let mut places = Vec::new();
    for origin in register.iter().flat_map(|register| register.origins_of(node.site())) {
        if let Some(state) = node.origin_or_empty(origin)? {
            places.push(format!("{origin}={}/{}", state.epoch.number, state.last()));
        }
    }
    let last_good = if places.is_empty() { String::new() } else { format!(" --last-good {}", places.join(",")) };
    Ok(format!("--identity {identity}{last_good}"))
}

/// Has this node, which was away, listen to a node that was added meanwhile, when no member that it knows is left to confirm it.
#[utoipa::path(post, path = "/v1/site/nodes/{node}/confirm", params(("node" = u64, Path)), responses((status = 200, body = Done), (status = 409, body = Problem)))]
pub async fn confirm_node(
    State(node): State<Arc<Node>>,
    Extension(who): Extension<PeerIdentity>,
    Path(confirmed): Path<u64>,
) -> OrderReply {
    check(&node, &who, Right::Operate)?;
    node.consensus.confirm_node(NodeId(confirmed))?;
    tracing::info!(target: "kho_audit", %who, node = confirmed, "a node was confirmed as a member by an operator's word");
    Ok(Told(OrderDone::NodeConfirmed { node: Ordinal(confirmed), site: site(&node) }))
}

/// Says that this node's machine's clock is right: the node goes by it, and what the site stamped beyond it is taken back.
#[utoipa::path(post, path = "/v1/site/confirm-time", responses((status = 200, body = Done), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub async fn confirm_time(State(node): State<Arc<Node>>, Extension(who): Extension<PeerIdentity>) -> OrderReply {
    check(&node, &who, Right::Operate)?;
    let (machine, own) = (machine_time(), node.credentials.validity());
    let time = machine.to_rfc3339();
    if !(own.not_before..=own.not_after).contains(&machine) {
        return Err(RequestFault::ClockImpossible { time }.into());
    }
    tracing::warn!(%who, time, "an operator confirms this machine's clock");
    node.clock.confirm();
    match node.consensus.propose(&Command::ConfirmTime { site_time: machine }).await? {
        Outcome::Recorded => Ok(Told(OrderDone::TimeConfirmed { time })),
        _ => Err(RequestFault::NoRegister {}.into()),
    }
}

fn site(node: &Node) -> Ordinal {
    Ordinal(node.site().0.into())
}

fn address(place: NodePlace) -> NodeAddress {
    NodeAddress { quic: place.quic_address, https: place.https_address }
}
