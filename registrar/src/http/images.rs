//! Images: list, register, deregister.

use super::State;
use crate::job::{JobState, Registration, SubmitError, Submitted};
use crate::register::{look_up, refuse_doubt, refuse_other_choices};
use axum::Json;
use axum::extract::{Path, Query, State as Shared};
use bootstash_base::error::Classified;
use bootstash_base::names::ImageName;
use bootstash_delta::catalog::{Catalog, Manifest};
use bootstash_net::api::{
    DeregisterQuery, DeregisterReply, ImageView, ImagesQuery, RegisterReply, RegisterRequest,
};
use bootstash_net::server::Refusal;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::error::Elapsed;

/// How long a record may take to reach the disk while somebody waits for the answer.
const SUBMIT_LIMIT: Duration = Duration::from_secs(15);

/// A request to register or deregister cannot be taken as it is.
#[derive(Debug, thiserror::Error, Classified)]
enum RequestError {
    #[error("{} is not an absolute path", .path.display())]
    #[class(permanent)]
    Relative { path: PathBuf },
    #[error(transparent)]
    #[class(permanent)]
    Url(#[from] bootstash_disk::UrlError),
    #[error("image {name} is being registered right now (at step {step}); wait for it, then deregister it")]
    #[class(busy)]
    UnderWay { name: ImageName, step: bootstash_net::api::Step },
    #[error(
        "the state directory has not accepted the registration for {SUBMIT_LIMIT:?}; \
         it begins once the disk answers: see `bootstash jobs`"
    )]
    #[class(transient)]
    SlowDisk,
}

pub(super) async fn list(
    Shared(state): Shared<State>,
    Query(query): Query<ImagesQuery>,
) -> Result<Json<Vec<ImageView>>, Refusal> {
    let (catalog, registrations) = (state.volume.images().read().await?, state.jobs.by_name());
    let listed = published(&catalog, &registrations).filter(|manifest| query.wants(&manifest.name));
    let view = |manifest: &Manifest| {
        let snapshot = registrations.get(&manifest.name).and_then(Registration::snapshot).cloned();
        ImageView { manifest: manifest.clone(), snapshot }
    };
    Ok(Json(listed.take(query.most()).map(view).collect()))
}

pub(super) async fn register(
    Shared(state): Shared<State>,
    Json(request): Json<RegisterRequest>,
) -> Result<Json<RegisterReply>, Refusal> {
    let name: ImageName = request.name.parse().map_err(|error| Refusal::bad_request(&error))?;
    let mut paths = std::iter::once(&request.source).chain(&request.cache);
    bootstash_disk::refuse_url(&request.source).map_err(RequestError::Url)?;
    if let Some(path) = paths.find(|path| path.is_relative()) {
        return Err(RequestError::Relative { path: path.clone() }.into());
    }
    // An import under way shows in the head before it is published: its job speaks for it.
    if state.jobs.active_step(&name).is_none()
        && let Some(manifest) = registered(&state, &name, &request.source).await?
    {
        refuse_other_choices(&request.capture, &manifest)?;
        if manifest.boots_to_follow > 0 || state.jobs.follow_up_failed(&name) {
            let following = tokio::time::timeout(SUBMIT_LIMIT, state.runner.follow_up(name, request)).await;
            return started(following);
        }
        refuse_doubt(request.require, &manifest)?;
        let image = Box::new(view(&state, manifest));
        return Ok(Json(RegisterReply::Unchanged { image }));
    }
    let submitted = tokio::time::timeout(SUBMIT_LIMIT, state.runner.submit(name, request)).await;
    started(submitted)
}

fn started(
    submitted: Result<Result<Submitted, SubmitError>, Elapsed>,
) -> Result<Json<RegisterReply>, Refusal> {
    let (Submitted::New(job) | Submitted::UnderWay(job)) =
        submitted.map_err(|_| RequestError::SlowDisk)??;
    Ok(Json(RegisterReply::Started { job }))
}

pub(super) async fn deregister(
    Shared(state): Shared<State>,
    Path(name): Path<String>,
    Query(query): Query<DeregisterQuery>,
) -> Result<Json<DeregisterReply>, Refusal> {
    let name: ImageName = name.parse().map_err(|error| Refusal::bad_request(&error))?;
    // One that takes longer is under way.
    tokio::time::timeout(SUBMIT_LIMIT, state.runner.cancel_follow_up(&name)).await.ok();
    if let Some(step) = state.jobs.active_step(&name) {
        return Err(RequestError::UnderWay { name, step }.into());
    }
    Ok(Json(state.volume.deregister(name, query.publish).await?))
}

/// The images that are registered: what a job has only imported does not count yet.
pub(super) fn published<'a>(
    catalog: &'a Catalog,
    registrations: &'a HashMap<ImageName, Registration>,
) -> impl Iterator<Item = &'a Manifest> {
    let under_way = |name: &ImageName| registrations.get(name).is_some_and(Registration::is_under_way);
    catalog.iter().filter(move |manifest| !under_way(&manifest.name))
}

/// How many there are of them.
pub(super) async fn count(state: &State) -> Result<u64, Refusal> {
    let catalog = state.volume.images().read().await?;
    let being_registered = state.jobs.being_registered();
    let unpublished = being_registered.iter().filter(|name| catalog.contains(name)).count();
    Ok((catalog.len() - unpublished) as u64)
}

/// The very image that is to be registered, where it is registered already and has not changed.
async fn registered(
    state: &State,
    name: &ImageName,
    source: &std::path::Path,
) -> Result<Option<Manifest>, Refusal> {
    let (name, source) = (name.clone(), source.to_owned());
    let found = state.reader.read(move |mountpoint| look_up(mountpoint, &name, &source)).await??;
    let Some(manifest) = found else { return Ok(None) };
    let mut manifest = state.runner.bases().unchanged(manifest).await?;
    manifest.source.identity.without_samples();
    Ok(Some(manifest))
}

fn view(state: &State, manifest: Manifest) -> ImageView {
    let snapshot = state.jobs.latest(&manifest.name).and_then(|record| match record.state {
        JobState::Published { snapshot, .. } => Some(snapshot),
        _ => None,
    });
    ImageView { manifest, snapshot }
}
