//! Delta files, with ranges, from here or from a node that has them.

use super::State;
use crate::peers::Requester;
use crate::volume::FullStream;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Query, Request, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bootstash_base::error::Chain;
use bootstash_delta::DeltaRecord;
use bootstash_net::api::DeltaQuery;
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
        Err(error) => Err(Refusal::not_found(format!("delta {file} cannot be read: {error}"))),
    }
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
