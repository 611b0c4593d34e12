//! The registrar's HTTP API: this host's users on a Unix socket, everybody else on the network.
//!
//! On the network each group of routes has a guard of its own: nodes get what they need and no more,
//! operators what the socket has, and clients without a certificate nothing but joining.

mod deltas;
mod images;
mod jobs;
mod log;
mod members;
mod multicast;
mod operator;
mod restore;
mod state;
mod stream;

pub use restore::Restoring;
pub use state::State;

use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use bootstash_net::api::{Alive, routes};
use bootstash_net::identity::Permission;
use bootstash_net::server::{guard, members_only};

/// No request of ours is larger.
const BODY_LIMIT_BYTES: usize = 64 * 1024;

/// What the command may ask, on this host.
pub fn operator_routes(state: State) -> Router {
    let routes = orders()
        .route(routes::METRICS, get(operator::metrics))
        .route(routes::ALIVE, get(async || Json(Alive {})));
    routes.layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES)).with_state(state)
}

fn orders() -> Router<State> {
    Router::new()
        .route(routes::IMAGES, get(images::list).post(images::register))
        .route(routes::IMAGE, delete(images::deregister))
        .route(routes::JOBS, get(jobs::list))
        .route(routes::JOB, get(jobs::follow).delete(jobs::cancel))
        .route(routes::NODES, get(operator::nodes))
        .route(routes::STATUS, get(operator::status))
        .route(routes::GC, post(operator::collect))
        .route(routes::RESTORE, get(restore::progress).post(restore::restore))
        .route(routes::INVITATIONS, post(members::invite))
        .route(routes::MEMBERS, get(members::list).delete(members::expel))
}

/// What is served on the network, to each what it may have.
pub fn network_routes(state: State) -> Router {
    let following = Router::new()
        .route(routes::LOG, get(log::follow))
        .route(routes::FULL, get(deltas::full))
        .route(routes::STREAM, get(stream::send))
        .route(&format!("{}/{{file}}", routes::DELTAS), get(deltas::download))
        .route(routes::DELTA_COMPLAINT, post(deltas::complain))
        .route(routes::PIECES, post(multicast::pieces))
        .route(routes::MULTICAST, post(multicast::join))
        .route(routes::MULTICAST_PROBE, post(multicast::probe))
        .route(routes::MULTICAST_REPORT, post(multicast::report));
    let routes = guard(following, Permission::Follow)
        .merge(guard(orders(), Permission::Operate))
        .merge(guard(Router::new().route(routes::METRICS, get(operator::metrics)), Permission::Scrape))
        .merge(guard(Router::new().route(routes::RENEWAL, post(members::renew)), Permission::Renew))
        .merge(guard(Router::new().route(routes::DEPARTURE, post(members::leave)), Permission::Leave))
        // Whether it is the caller's own is for the handler to see.
        .route(routes::NODE_REPORT, post(log::report))
        .route(routes::JOIN, post(members::join));
    let routes = routes.layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES)).with_state(state);
    members_only(routes, Some(routes::JOIN))
}
