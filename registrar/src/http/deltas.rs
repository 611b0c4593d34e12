//! Delta files, with ranges.

use super::State;
use super::reply::Refusal;
use crate::volume::FullStream;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bootstash::fault::Chain;
use bootstash::serving::Kind;
use tower_http::services::ServeFile;

pub(super) async fn download(
    Shared(state): Shared<State>,
    Path(file): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    // Only names in the log lead to a file, whatever the request says.
    let found = state.log.delta(&file);
    let (record, path) =
        found.ok_or_else(|| Refusal::not_found(format!("there is no delta {file}; ask for the log")))?;
    let kind = if record.from.is_some() { Kind::Delta } else { Kind::Full };
    let begun = state.serving.downloads.begin(kind);
    let download = begun.ok_or_else(|| Refusal::busy(&state.serving.downloads))?;
    match ServeFile::new(path).try_call(request).await {
        Ok(response) => Ok(response.map(|body| {
            let chunks = Body::new(body).into_data_stream();
            Body::from_stream(download.body(chunks))
        })),
        Err(error) => Err(Refusal::not_found(format!("delta {file} cannot be read: {error}"))),
    }
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
