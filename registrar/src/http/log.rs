//! The published log, for nodes; and what they report.

use super::State;
use super::reply::Refusal;
use axum::Json;
use axum::extract::{ConnectInfo, Path, Query, State as Shared};
use bootstash::api::{LogQuery, NodeReport, VolumeLog};
use bootstash::names::NodeName;
use std::net::SocketAddr;
use std::time::Duration;

const LONGEST_WAIT_SECONDS: u64 = 60;

pub(super) async fn follow(Shared(state): Shared<State>, Query(query): Query<LogQuery>) -> Json<VolumeLog> {
    if let Some(node) = &query.node {
        state.nodes.contact(node);
        state.peers.contact(node);
    }
    let mut log = state.log.subscribe();
    if query.wait_seconds > 0 {
        let news = log.wait_for(|log| log.snapshots.last().map(|head| head.guid) != query.after);
        let longest = Duration::from_secs(query.wait_seconds.min(LONGEST_WAIT_SECONDS));
        tokio::select! {
            _ = news => (),
            () = tokio::time::sleep(longest) => (),
            () = state.stop.cancelled() => (),
        }
    }
    let now = log.borrow().clone();
    Json(now)
}

pub(super) async fn report(
    Shared(state): Shared<State>,
    Path(node): Path<String>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Json(mut report): Json<NodeReport>,
) -> Result<Json<()>, Refusal> {
    let node: NodeName = node.parse().map_err(|error| Refusal::bad_request(&error))?;
    let offer = report.peer.take();
    let url = offer.as_ref().and_then(|offer| offer.url(from.ip()));
    state.peers.note(&node, offer.as_ref().zip(url.as_deref()), from.ip());
    state.nodes.report(&node, report, url);
    Ok(Json(()))
}
