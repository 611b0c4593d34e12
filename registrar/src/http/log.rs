//! The published log, for nodes; and what they report.

use super::State;
use super::reply::Refusal;
use axum::Json;
use axum::extract::{Path, Query, State as Shared};
use bootstash::api::{LogQuery, NodeReport, VolumeLog};
use bootstash::fault::Chain;
use bootstash::names::NodeName;
use std::time::Duration;

const LONGEST_WAIT_SECONDS: u64 = 60;

pub(super) async fn follow(Shared(state): Shared<State>, Query(query): Query<LogQuery>) -> Json<VolumeLog> {
    if let Some(node) = &query.node {
        state.nodes.contact(node);
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
    Json(report): Json<NodeReport>,
) -> Result<Json<()>, Refusal> {
    let node: NodeName = node.parse().map_err(|error| Refusal::bad_request(&error))?;
    if let Err(error) = state.nodes.report(&node, report) {
        tracing::warn!(%node, error = %Chain(&error), "a node's report is not kept over a restart");
    }
    Ok(Json(()))
}
