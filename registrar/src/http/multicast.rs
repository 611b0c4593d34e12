//! Multicast: sessions, reports, and the parts that a node lacks.

use super::State;
use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bootstash_base::names::NodeName;
use bootstash_multicast::Report;
use bootstash_net::api::{PiecesRequest, ReportReply, SessionReply, SessionRequest};
use bootstash_net::download_limits::Kind;
use bootstash_net::identity::Principal;
use bootstash_net::server::Refusal;
use bytes::Bytes;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

pub(super) async fn join(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Principal>,
    Json(request): Json<SessionRequest>,
) -> Result<Json<Option<SessionReply>>, Refusal> {
    let node = node_of(&caller)?;
    let file = request.file;
    let found = state.log.delta(&file).ok_or_else(|| no_delta(&file))?;
    Ok(Json(state.multicast.join(node, found.0, found.1).await))
}

pub(super) async fn probe(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Principal>,
) -> Result<Json<SessionReply>, Refusal> {
    Ok(Json(state.multicast.probe(node_of(&caller)?).await?))
}

pub(super) async fn report(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Principal>,
    Json(report): Json<Report>,
) -> Result<Json<ReportReply>, Refusal> {
    Ok(Json(state.multicast.report(node_of(&caller)?, &report)?))
}

pub(super) async fn pieces(
    Shared(state): Shared<State>,
    Path(file): Path<String>,
    Json(request): Json<PiecesRequest>,
) -> Result<Response, Refusal> {
    let (record, path) = state.log.delta(&file).ok_or_else(|| no_delta(&file))?;
    let Some(bytes) = request.bytes(record.bytes) else {
        return Err(Refusal::conflict(format!(
            "delta {file} has no such parts, or they are too many at once"
        )));
    };
    let kind = if record.from.is_some() { Kind::Delta } else { Kind::Full };
    let download = state.serving.downloads.begin(kind);
    let download = download.ok_or_else(|| Refusal::busy(&state.serving.downloads))?;
    let reading = tokio::task::spawn_blocking(move || read(&path, &request.ranges));
    let read = reading.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    let parts = read.map_err(|error| Refusal::not_found(format!("delta {file} cannot be read: {error}")))?;
    state.multicast_metrics.fetched(bytes);
    let chunks = futures::stream::iter(parts.into_iter().map(Ok::<_, io::Error>));
    Ok(Body::from_stream(download.body(chunks)).into_response())
}

fn read(path: &std::path::Path, ranges: &[Range<u64>]) -> io::Result<Vec<Bytes>> {
    let file = std::fs::File::open(path)?;
    let part = |range: &Range<u64>| {
        let mut bytes = vec![0; usize::try_from(range.end - range.start).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, range.start).map(|()| Bytes::from(bytes))
    };
    ranges.iter().map(part).collect()
}

fn node_of(caller: &Principal) -> Result<&NodeName, Refusal> {
    caller.node().ok_or_else(|| Refusal::conflict("only nodes take part in multicast sessions"))
}

fn no_delta(file: &str) -> Refusal {
    Refusal::not_found(format!("there is no delta {file}; ask for the log"))
}
