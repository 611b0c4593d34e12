//! Overlays, and collecting what they no longer need.

use super::Site;
use super::refusal::Refusal;
use crate::volume::CreateOverlayError;
use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use bootstash::api::{GcQuery, GcReport, OverlayQuery, OverlayRequest, OverlayStatus, OverlayView};
use bootstash::catalog::CatalogError;
use bootstash::names::NameError;
use bootstash::zfs::Removed;
use std::time::Duration;

type Answer<T> = Result<Json<T>, Refusal>;

pub(super) async fn list(State(site): State<Site>) -> Json<Vec<OverlayStatus>> {
    Json(site.volume.overlays().await)
}

pub(super) async fn create(
    State(site): State<Site>,
    request: Result<Json<OverlayRequest>, JsonRejection>,
) -> Answer<OverlayView> {
    let Json(request) = request.map_err(Refusal::malformed)?;
    let image = request.image.parse().map_err(|error: NameError| Refusal::malformed(error))?;
    let made = site.volume.create_overlay(image, request.path).await;
    made.map(Json).map_err(|error| match error {
        CreateOverlayError::Catalog(CatalogError::NotFound { .. }) => {
            Refusal::from(error).with(StatusCode::NOT_FOUND)
        }
        CreateOverlayError::Path { .. } => Refusal::from(error).with(StatusCode::BAD_REQUEST),
        other => other.into(),
    })
}

pub(super) async fn remove(
    State(site): State<Site>,
    query: Result<Query<OverlayQuery>, QueryRejection>,
) -> Answer<Removed> {
    let Query(query) = query.map_err(Refusal::malformed)?;
    Ok(Json(site.volume.remove_overlay(query.path).await?))
}

pub(super) async fn collect(
    State(site): State<Site>,
    query: Result<Json<GcQuery>, JsonRejection>,
) -> Answer<GcReport> {
    let Json(query) = query.map_err(Refusal::malformed)?;
    let window = query.window_seconds.map_or(site.window, Duration::from_secs);
    Ok(Json(site.volume.collect(window, query.dry_run).await?))
}
