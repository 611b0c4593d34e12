//! The agent's answers: to the command on a Unix socket, to Prometheus on TCP.

mod caller;
mod doctor;
mod overlays;
mod scrape;
mod status;

#[cfg(test)]
mod tests;

pub use caller::Peer;

use crate::layout::Layout;
use crate::metrics::Metrics;
use crate::multicast::Doctor;
use crate::volume::VolumeHandle;
use axum::routing::{get, post};
use axum::{Json, Router};
use bootstash_base::names::NodeName;
use bootstash_delta::retention::Keep;
use bootstash_net::api::{AgentState, Alive, IdentityConflict, routes};
use bootstash_net::identity::CredentialStore;
use bootstash_zfs::Zfs;
use std::sync::Arc;
use tokio::sync::watch;

/// What the answers are made of. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Site {
    /// This node.
    pub node: NodeName,
    /// The registrar it follows.
    pub registrar: String,
    /// Finds out about multicast.
    pub doctor: Doctor,
    /// For looking up space.
    pub zfs: Arc<dyn Zfs>,
    /// Where things are.
    pub layout: Layout,
    /// For changes.
    pub volume: VolumeHandle,
    /// How following goes.
    pub following: watch::Receiver<AgentState>,
    /// Which other hosts use this node's identity.
    pub identity_conflict: watch::Receiver<Option<IdentityConflict>>,
    /// What was counted.
    pub metrics: Metrics,
    /// What this node is a member with.
    pub credentials: CredentialStore,
    /// How many snapshots are kept, and for how long where a collection does not say.
    pub keep: Keep,
}

/// What the command may ask; who does must be known as a [`Peer`].
pub fn command_routes(site: Site) -> Router {
    Router::new()
        .route(routes::ALIVE, get(async || Json(Alive {})))
        .route(routes::STATUS, get(status::status))
        .route(routes::IMAGES, get(status::images))
        .route(routes::OVERLAYS, get(overlays::list).post(overlays::create).delete(overlays::remove))
        .route(routes::OVERLAY_ADOPTION, post(overlays::adopt))
        .route(routes::PINS, post(overlays::pin).delete(overlays::unpin))
        .route(routes::GC, post(overlays::collect))
        .route(routes::DOCTOR_MULTICAST, post(doctor::multicast))
        .route(routes::METRICS, get(scrape::scrape))
        .with_state(site)
}

/// What Prometheus may ask.
pub fn metrics_routes(site: Site) -> Router {
    Router::new().route(routes::METRICS, get(scrape::scrape)).with_state(site)
}
