//! A full stream straight from ZFS: for nodes whose ZFS can go on after a cut, as no file has to be
//! made of it on either side.
//!
//! Promises: few at once; a token leads to nothing but a snapshot of the volume.

use super::State;
use super::reply::Refusal;
use axum::body::Body;
use axum::extract::{Query, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bootstash::api::{GUID_HEADER, SIZE_HEADER, SNAPSHOT_HEADER, StreamQuery};
use bootstash::delta::Encoding;
use bootstash::names::SnapshotName;
use bootstash::zfs::{ByteStream, ResumeToken, SendError, Snapshot};
use bytes::Bytes;
use futures::{StreamExt, stream};
use std::io;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;
use tokio_util::io::ReaderStream;

const CHUNK_BYTES: usize = 64 << 10;
const CHUNKS_AHEAD: usize = 4;
/// A node that takes nothing for so long can ask for the rest later.
const STALL: Duration = Duration::from_secs(60);

pub(super) async fn send(
    Shared(state): Shared<State>,
    Query(query): Query<StreamQuery>,
) -> Result<Response, Refusal> {
    if !state.zfs.capabilities().resumable_receive {
        return Err(Refusal::not_found("this registrar's ZFS cannot resume a stream".to_owned()));
    }
    let permit = std::sync::Arc::clone(&state.streams).try_acquire_owned();
    let permit = permit.map_err(|_| Refusal::unavailable("enough full streams are under way".to_owned()))?;
    let (to, size, stream) = match query.resume {
        Some(token) => rest(&state, &token).await?,
        None => whole(&state).await?,
    };
    let body = pumped(Encoding::Zstd.encode(stream), permit);
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
    let head = state.log.head().ok_or_else(|| Refusal::not_found("nothing is registered yet".to_owned()))?;
    let size = state.zfs.send_size(&state.layout.volume, None, &head.name).await?;
    let stream = state.zfs.send(&state.layout.volume, None, &head.name).await?;
    Ok((head, size, stream))
}

async fn rest(state: &State, token: &str) -> Result<Sent, Refusal> {
    let gone = || Refusal::gone("the resume token fits no snapshot here; start anew".to_owned());
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

/// The stream as a body, read ahead a little by a task of its own, which ends with either side, and
/// where the node takes nothing for too long: a body that nobody reads is not even asked.
fn pumped(encoded: ByteStream, permit: OwnedSemaphorePermit) -> Body {
    let (sender, mut receiver) = mpsc::channel(CHUNKS_AHEAD);
    tokio::spawn(async move {
        pump(encoded, &sender).await;
        drop(permit);
    });
    Body::from_stream(stream::poll_fn(move |context| receiver.poll_recv(context)))
}

async fn pump(encoded: ByteStream, to: &mpsc::Sender<io::Result<Bytes>>) {
    let mut chunks = ReaderStream::with_capacity(encoded, CHUNK_BYTES);
    while let Some(chunk) = chunks.next().await {
        if let Err(error) = &chunk {
            tracing::warn!(%error, "a full stream broke off");
        }
        match timeout(STALL, to.send(chunk)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => {
                return tracing::warn!("a node took nothing of its full stream for {} s", STALL.as_secs());
            }
        }
    }
}
