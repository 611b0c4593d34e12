//! Nodes, status, collection, metrics.

use super::State;
use super::images;
use axum::Json;
use axum::extract::{Query, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bootstash_daemon::telemetry::TextFormat;
use bootstash_delta::retention::Keep;
use bootstash_net::api::{GcQuery, GcReport, NodeView, NodesQuery, RegistrarStatus};
use bootstash_net::server::Refusal;
use bootstash_zfs::Unanswered;
use std::time::Duration;

pub(super) async fn nodes(
    Shared(state): Shared<State>,
    Query(query): Query<NodesQuery>,
) -> Json<Vec<NodeView>> {
    Json(node_views(&state, query.all))
}

/// The nodes; without those that were expelled, unless `all` are wanted.
fn node_views(state: &State, all: bool) -> Vec<NodeView> {
    let mut nodes = state.nodes.views(&state.log.now(), state.window);
    nodes.retain(|node| all || node.expelled.is_none());
    nodes
}

pub(super) async fn status(Shared(state): Shared<State>) -> Result<Json<RegistrarStatus>, Refusal> {
    let log = state.log.now();
    Ok(Json(RegistrarStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        zfs: state.zfs.capabilities().flavor,
        images: images::count(&state).await?,
        snapshot: log.snapshots.last().map(|head| head.name.clone()),
        snapshots: log.snapshots.len() as u64,
        delta_bytes: log.deltas.iter().map(|delta| delta.bytes).sum(),
        usage: bootstash_zfs::usage_soon(state.zfs.as_ref(), &state.layout.volume).await,
        zfs_unanswered: state.zfs.unanswered().filter(Unanswered::is_noticed),
        jobs: state.jobs.unfinished().len() as u64,
    }))
}

pub(super) async fn collect(
    Shared(state): Shared<State>,
    Json(query): Json<GcQuery>,
) -> Result<Json<GcReport>, Refusal> {
    let window = query.window_seconds.map_or(state.keep.window, Duration::from_secs);
    let report = state.volume.collect(Keep { window, ..state.keep }, query.dry_run).await?;
    if !report.dry_run {
        state.metrics.collected();
    }
    Ok(Json(report))
}

pub(super) async fn metrics(Shared(state): Shared<State>, headers: HeaderMap) -> Result<Response, Refusal> {
    let format = TextFormat::accepted(headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()));
    let nodes = node_views(&state, false);
    let jobs = state.jobs.unfinished().len();
    // What cannot be read is missing from the answer; the rest is what tells of the trouble.
    let images = state.volume.images().read().await.unwrap_or_default();
    let registrations = state.jobs.by_name();
    let images: Vec<_> = images::published(&images, &registrations).collect();
    let usage = bootstash_zfs::usage_soon(state.zfs.as_ref(), &state.layout.volume).await;
    state.metrics.show_zfs(state.zfs.unanswered().as_ref());
    state.metrics.show_certificate(state.members.credentials().now().expires());
    state.metrics.show_images(&images);
    match state.metrics.scrape(&state.log, &nodes, jobs, usage.as_ref(), format) {
        Ok(text) => Ok(([(header::CONTENT_TYPE, format.content_type())], text).into_response()),
        Err(error) => Ok((StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()),
    }
}
