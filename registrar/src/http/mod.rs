//! The registrar's HTTP API: operators on a Unix socket, nodes on TCP.
//!
//! Nodes get what they need and no more: nobody on TCP can register, deregister or collect.

mod deltas;
mod images;
mod jobs;
mod log;
mod operator;
mod reply;
mod restore;
mod state;
mod stream;

pub use restore::Restoring;
pub use state::State;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, post};
use bootstash::api::routes;

/// No request of ours is larger.
const BODY_LIMIT_BYTES: usize = 64 * 1024;

/// What the command may ask.
pub fn operator_routes(state: State) -> Router {
    Router::new()
        .route(routes::IMAGES, get(images::list).post(images::register))
        .route(routes::IMAGE, delete(images::deregister))
        .route(routes::JOBS, get(jobs::list))
        .route(routes::JOB, get(jobs::follow))
        .route(routes::NODES, get(operator::nodes))
        .route(routes::STATUS, get(operator::status))
        .route(routes::GC, post(operator::collect))
        .route(routes::RESTORE, get(restore::progress).post(restore::restore))
        .route(routes::METRICS, get(operator::metrics))
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
        .with_state(state)
}

/// What a node may ask, and Prometheus.
pub fn node_routes(state: State) -> Router {
    Router::new()
        .route(routes::LOG, get(log::follow))
        .route(routes::FULL, get(deltas::full))
        .route(routes::STREAM, get(stream::send))
        .route(&format!("{}/{{file}}", routes::DELTAS), get(deltas::download))
        .route(routes::NODE_REPORT, post(log::report))
        .route(routes::METRICS, get(operator::metrics))
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
        .with_state(state)
}
