//! A full stream straight from ZFS: for nodes whose ZFS can go on after a cut, as no file has to be
//! made of it on either side.
//!
//! Promises: few at once; a token leads to nothing but a snapshot of the volume.

use super::State;
use axum::body::Body;
use axum::extract::{Query, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bootstash_base::names::SnapshotName;
use bootstash_delta::Encoding;
use bootstash_net::api::{GUID_HEADER, SIZE_HEADER, SNAPSHOT_HEADER, StreamQuery};
use bootstash_net::download_limits::Kind;
use bootstash_net::server::Refusal;
use bootstash_zfs::{ByteStream, ResumeToken, SendError, Snapshot};
use tokio_util::io::ReaderStream;

const CHUNK_BYTES: usize = 64 << 10;

pub(super) async fn send(
    Shared(state): Shared<State>,
    Query(query): Query<StreamQuery>,
) -> Result<Response, Refusal> {
    if !state.zfs.capabilities().resumable_receive {
        return Err(Refusal::not_found("this registrar's ZFS cannot resume a stream"));
    }
    let begun = state.serving.downloads.begin(Kind::Full);
    let download = begun.ok_or_else(|| Refusal::busy(&state.serving.downloads))?;
    let (to, size, stream) = match query.resume {
        Some(token) => rest(&state, &token).await?,
        None => whole(&state).await?,
    };
    let chunks = ReaderStream::with_capacity(Encoding::Zstd.encode(stream), CHUNK_BYTES);
    let body = Body::from_stream(download.body(chunks));
    let mut response = Response::builder()
        .header(SNAPSHOT_HEADER, to.name.as_str())
        .header(GUID_HEADER, to.guid.to_string());
    if let Some(size) = size {
        response = response.header(SIZE_HEADER, size);
    }
    Ok(response.body(body).unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response()))
}

type Sent = (Snapshot, Option<u64>, ByteStream);

async fn whole(state: &State) -> Result<Sent, Refusal> {
    let head = state.log.head().ok_or_else(|| Refusal::not_found("nothing is registered yet"))?;
    let size = state.zfs.send_size(&state.layout.volume, None, &head.name).await?;
    let stream = state.zfs.send(&state.layout.volume, None, &head.name).await?;
    Ok((head, size, stream))
}

async fn rest(state: &State, token: &str) -> Result<Sent, Refusal> {
    let gone = || Refusal::gone("the resume token fits no snapshot here; start anew");
    let token: ResumeToken = token.parse().map_err(|_| gone())?;
    let (name, stream) = match state.zfs.send_rest(&state.layout.volume, &token).await {
        Err(SendError::Stale { .. }) => return Err(gone()),
        sent => sent?,
    };
    Ok((announced(state, &name).ok_or_else(gone)?, None, stream))
}

fn announced(state: &State, name: &SnapshotName) -> Option<Snapshot> {
    state.log.now().snapshots.into_iter().find(|snapshot| snapshot.name == *name)
}
