//! Overlays, and collecting what they no longer need.

use super::Site;
use super::caller::Peer;
use crate::volume::{AdoptOverlayError, CreateOverlayError, OverlaySpec, PinError, RemoveOverlayError};
use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{ConnectInfo, Query, State};
use axum::http::StatusCode;
use bootstash_base::impersonate::UnixPeer;
use bootstash_base::names::NameError;
use bootstash_delta::catalog::CatalogError;
use bootstash_delta::retention::Keep;
use bootstash_net::api::{
    AdoptReply, GcQuery, GcReport, OverlayQuery, OverlayReply, OverlayRequest, OverlayStatus, PinReply,
};
use bootstash_net::server::Refusal;
use bootstash_zfs::Removed;
use std::time::Duration;

type Answer<T> = Result<Json<T>, Refusal>;

pub(super) async fn list(State(site): State<Site>) -> Json<Vec<OverlayStatus>> {
    Json(site.volume.overlays().await)
}

pub(super) async fn create(
    State(site): State<Site>,
    ConnectInfo(Peer(by)): ConnectInfo<Peer>,
    request: Result<Json<OverlayRequest>, JsonRejection>,
) -> Answer<OverlayReply> {
    let Json(request) = request.map_err(|error| Refusal::bad_request(&error))?;
    let image = request.image.parse().map_err(|error: NameError| Refusal::bad_request(&error))?;
    let OverlayRequest { path, size_bytes, owner, .. } = request;
    let spec = OverlaySpec { image, path, size_bytes, owner };
    let made = site.volume.create_overlay_for(by, spec).await;
    made.map(Json).map_err(|error| match error {
        CreateOverlayError::Catalog(CatalogError::NotFound { .. }) => {
            Refusal::from(error).with(StatusCode::NOT_FOUND)
        }
        CreateOverlayError::NotAllowed { .. } | CreateOverlayError::Owner { .. } => {
            Refusal::from(error).with(StatusCode::FORBIDDEN)
        }
        CreateOverlayError::Path { .. } => Refusal::from(error).with(StatusCode::BAD_REQUEST),
        other => other.into(),
    })
}

pub(super) async fn adopt(
    State(site): State<Site>,
    ConnectInfo(Peer(by)): ConnectInfo<Peer>,
    query: Result<Json<OverlayQuery>, JsonRejection>,
) -> Answer<AdoptReply> {
    let Json(query) = query.map_err(|error| Refusal::bad_request(&error))?;
    let adopted = site.volume.adopt_overlay_for(by, query.path).await;
    adopted.map(Json).map_err(|error| match error {
        AdoptOverlayError::NoFile { .. } => Refusal::from(error).with(StatusCode::NOT_FOUND),
        AdoptOverlayError::NotAllowed { .. } => Refusal::from(error).with(StatusCode::FORBIDDEN),
        other => other.into(),
    })
}

pub(super) async fn pin(
    State(site): State<Site>,
    ConnectInfo(Peer(by)): ConnectInfo<Peer>,
    query: Result<Json<OverlayQuery>, JsonRejection>,
) -> Answer<PinReply> {
    let Json(query) = query.map_err(|error| Refusal::bad_request(&error))?;
    site.volume.pin(by, query.path).await.map(Json).map_err(pin_refused)
}

pub(super) async fn unpin(
    State(site): State<Site>,
    ConnectInfo(Peer(by)): ConnectInfo<Peer>,
    query: Result<Query<OverlayQuery>, QueryRejection>,
) -> Answer<Removed> {
    let Query(query) = query.map_err(|error| Refusal::bad_request(&error))?;
    site.volume.unpin(by, query.path).await.map(Json).map_err(pin_refused)
}

fn pin_refused(error: PinError) -> Refusal {
    match error {
        PinError::NoFile { .. } => Refusal::from(error).with(StatusCode::NOT_FOUND),
        PinError::NotAllowed { .. } => Refusal::from(error).with(StatusCode::FORBIDDEN),
        other => other.into(),
    }
}

pub(super) async fn remove(
    State(site): State<Site>,
    ConnectInfo(Peer(by)): ConnectInfo<Peer>,
    query: Result<Query<OverlayQuery>, QueryRejection>,
) -> Answer<Removed> {
    let Query(query) = query.map_err(|error| Refusal::bad_request(&error))?;
    let removed = site.volume.remove_overlay_for(by, query.path).await;
    removed.map(Json).map_err(|error| match error {
        RemoveOverlayError::NotAllowed { .. } => Refusal::from(error).with(StatusCode::FORBIDDEN),
        other => other.into(),
    })
}

pub(super) async fn collect(
    State(site): State<Site>,
    ConnectInfo(Peer(by)): ConnectInfo<Peer>,
    query: Result<Json<GcQuery>, JsonRejection>,
) -> Answer<GcReport> {
    for_owners(by)?;
    let Json(query) = query.map_err(|error| Refusal::bad_request(&error))?;
    let window = query.window_seconds.map_or(site.keep.window, Duration::from_secs);
    let report = site.volume.collect(Keep { window, ..site.keep }, query.dry_run).await?;
    if !report.dry_run {
        site.metrics.collected();
    }
    Ok(Json(report))
}

/// What is about the node as a whole, and not about a caller's own files.
fn for_owners(by: UnixPeer) -> Result<(), Refusal> {
    if by.owns_us() {
        return Ok(());
    }
    Err(Refusal::forbidden("only root may collect on this node; use sudo"))
}
