//! Delta files, with ranges, from here or from a node that has them.

use super::State;
use crate::peers::Requester;
use crate::volume::{DeltaProblem, FullStream, VolumeHandle};
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Query, Request, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bootstash_base::error::Chain;
use bootstash_delta::DeltaRecord;
use bootstash_net::api::{DeltaComplaint, DeltaQuery};
use bootstash_net::download_limits::{Download, Kind};
use bootstash_net::identity::Principal;
use bootstash_net::server::Refusal;
use std::net::SocketAddr;
use tower_http::services::ServeFile;

pub(super) async fn download(
    Shared(state): Shared<State>,
    Path(file): Path<String>,
    Query(query): Query<DeltaQuery>,
    Extension(caller): Extension<Principal>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
) -> Result<Response, Refusal> {
    // Only names in the log lead to a file, whatever the request says.
    let found = state.log.delta(&file);
    let (record, path) =
        found.ok_or_else(|| Refusal::not_found(format!("there is no delta {file}; ask for the log")))?;
    if let Some(problem) = state.log.problem_of(&record).await {
        have_it_remade(&state, file.clone(), problem);
        return Err(being_remade(&file));
    }
    let download = match admit(&state, &record, query, Requester { node: caller.node(), from: from.ip() }) {
        Admission::Serve(download) => download,
        Admission::Redirect(location) => return Ok(redirect(location)),
        Admission::RetryLater => return Err(Refusal::busy(&state.serving.downloads)),
    };
    match ServeFile::new(path).try_call(request).await {
        Ok(response) => Ok(response.map(|body| {
            let chunks = Body::new(body).into_data_stream();
            Body::from_stream(download.body(chunks))
        })),
        Err(error) => Err(Refusal::unavailable(format!("delta {file} cannot be read: {error}; ask again"))),
    }
}

fn being_remade(file: &str) -> Refusal {
    Refusal::unavailable(format!(
        "the registrar's file of delta {file} is gone or damaged, and is being made anew"
    ))
}

/// Has a delta made anew, once however many ask for it.
fn have_it_remade(state: &State, file: String, problem: DeltaProblem) {
    if !state.log.begin_mending(&file) {
        return;
    }
    let (volume, log) = (state.volume.clone(), state.log.clone());
    // Owned by the volume's task: it ends when that answers or stops.
    tokio::spawn(async move {
        remake(&volume, &file, problem).await;
        log.end_mending(&file);
    });
}

async fn remake(volume: &VolumeHandle, file: &str, problem: DeltaProblem) {
    tracing::warn!(file, problem = %Chain(&problem), "the file of a delta is gone or damaged; making it anew");
    if let Err(error) = volume.remake(file.to_owned()).await {
        tracing::error!(file, error = %Chain(&error), "cannot make a delta anew; trying when a node asks for it again");
    }
}

/// A node says that it was sent something else than was announced. Whoever says so is believed as far as the file is
/// read once more.
pub(super) async fn complain(
    Shared(state): Shared<State>,
    Path(file): Path<String>,
    Json(complaint): Json<DeltaComplaint>,
) -> Result<Json<()>, Refusal> {
    let found = state.log.delta(&file).map(|(record, _)| record);
    let record =
        found.ok_or_else(|| Refusal::not_found(format!("there is no delta {file}; ask for the log")))?;
    // Of one that was made anew since, nothing is known to be wrong.
    if record.digest == complaint.digest && state.log.begin_mending(&file) {
        let (volume, log) = (state.volume.clone(), state.log.clone());
        // Ends with the file, or with the volume's task.
        tokio::spawn(async move {
            match log.problem_within(&record).await {
                Some(problem) => remake(&volume, &file, problem).await,
                None => tracing::info!(file, "a node was sent this delta damaged; the file here is not"),
            }
            log.end_mending(&file);
        });
    }
    Ok(Json(()))
}

/// What becomes of one who asks.
enum Admission {
    /// It is served.
    Serve(Download),
    /// It is redirected to this URL.
    Redirect(String),
    /// It is told to retry later.
    RetryLater,
}

/// A peer stands in where there are enough downloads here, or wherever that is preferred.
fn admit(state: &State, record: &DeltaRecord, query: DeltaQuery, requester: Requester<'_>) -> Admission {
    let kind = if record.from.is_some() { Kind::Delta } else { Kind::Full };
    let peer = || (!query.direct).then(|| state.peers.redirect(requester, &record.digest)).flatten();
    let begin = || state.serving.downloads.begin(kind);
    let admitted = if state.serving.prefers_peers() {
        peer().map(Admission::Redirect).or_else(|| begin().map(Admission::Serve))
    } else {
        begin().map(Admission::Serve).or_else(|| peer().map(Admission::Redirect))
    };
    if matches!(admitted, Some(Admission::Redirect(_))) {
        state.metrics.redirected();
    }
    admitted.unwrap_or(Admission::RetryLater)
}

fn redirect(location: String) -> Response {
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)]).into_response()
}

/// The full stream's record, 202 while it is made, or why it could not be made.
pub(super) async fn full(Shared(state): Shared<State>) -> Response {
    if let FullStream::Ready(record) = state.log.full() {
        return Json(record).into_response();
    }
    if let Some(error) = state.log.take_failure() {
        return Refusal::unavailable(error).into_response();
    }
    if state.log.begin_full() {
        let (volume, log) = (state.volume.clone(), state.log.clone());
        // Owned by the volume's task: it ends when that answers or stops.
        tokio::spawn(async move {
            let made = volume.full().await.map_err(|error| Chain(&error).to_string());
            if let Err(error) = &made {
                tracing::warn!(error, "cannot make a full stream");
            }
            log.finish_full(made);
        });
    }
    StatusCode::ACCEPTED.into_response()
}
