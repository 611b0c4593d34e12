//! The published log, for nodes; and what they report.

use super::State;
use axum::extract::{ConnectInfo, Path, Query, State as Shared};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bootstash_base::names::NodeName;
use bootstash_delta::replication;
use bootstash_net::api::{LogQuery, LogReply, NodeReport};
use bootstash_net::identity::{Permission, Principal};
use bootstash_net::server::Refusal;
use bootstash_net::server::missing_permission;
use std::net::SocketAddr;
use std::time::Duration;

const LONGEST_WAIT_SECONDS: u64 = 60;

pub(super) async fn follow(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Principal>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Query(query): Query<LogQuery>,
) -> Json<LogReply> {
    if let Some(node) = caller.node() {
        state.nodes.contact(node, query.host.as_ref().map(|host| (host, from.ip())));
        state.peers.contact(node);
    }
    let mut log = state.log.subscribe();
    let revoked = state.members.revoked();
    if query.wait_seconds > 0 {
        let news = log.wait_for(|log| log.snapshots.last().map(|head| head.guid) != query.after);
        let longest = Duration::from_secs(query.wait_seconds.min(LONGEST_WAIT_SECONDS));
        tokio::select! {
            _ = news => (),
            () = revoked.others_than(query.expelled) => (),
            () = tokio::time::sleep(longest) => (),
            () = state.stop.cancelled() => (),
        }
    }
    // Only for who can use it: a node whose newest snapshot is known here.
    let far = query.after.filter(|head| replication::wants_combined(*head, &log.borrow()));
    let combining = match far {
        Some(head) => state.combiner.is_under_way(head).await,
        None => false,
    };
    let log = log.borrow().since(query.after);
    let identity_conflict = caller.node().and_then(|node| state.nodes.identity_conflict(node));
    let (expelled, multicast) = (revoked.expelled(), state.multicast.group());
    Json(LogReply { log, expelled, multicast, combining, identity_conflict })
}

pub(super) async fn report(
    Shared(state): Shared<State>,
    Path(node): Path<String>,
    Extension(caller): Extension<Principal>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Json(mut report): Json<NodeReport>,
) -> Result<Response, Refusal> {
    let node: NodeName = node.parse().map_err(|error| Refusal::bad_request(&error))?;
    if let Some(refused) = missing_permission(Some(&caller), &Permission::Report(node.clone())) {
        return Err(refused);
    }
    let advertisement = report.peer.take();
    let url = advertisement.as_ref().and_then(|advertisement| advertisement.url(from.ip()));
    state.peers.update(&node, advertisement.as_ref().zip(url.as_deref()), from.ip());
    state.nodes.report(&node, report, url, from.ip());
    Ok(Json(()).into_response())
}
