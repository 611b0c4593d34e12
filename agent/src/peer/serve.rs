//! The listener for peers, and for a registrar that lost its volume.

use super::PeerCache;
use crate::volume::VolumeHandle;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bootstash_delta::Encoding;
use bootstash_delta::VolumeLog;
use bootstash_net::api::{GUID_HEADER, SIZE_HEADER, SNAPSHOT_HEADER, routes};
use bootstash_net::download_limits::{Download, Downloads, Kind};
use bootstash_net::server::Refusal;
use bootstash_zfs::Zfs;
use std::sync::Arc;
use tokio_util::io::ReaderStream;
use tower_http::services::ServeFile;

const CHUNK_BYTES: usize = 64 << 10;

/// What the answers are made of. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PeerSite {
    /// The deltas.
    pub cache: PeerCache,
    /// Lets downloads begin.
    pub downloads: Downloads,
    /// For seeing the volume.
    pub volume: VolumeHandle,
    /// For sending it.
    pub zfs: Arc<dyn Zfs>,
}

/// What a peer may ask, and a registrar that lost its volume.
pub fn routes(site: PeerSite) -> Router {
    Router::new()
        .route(&format!("{}/{{digest}}", routes::DELTAS), get(delta))
        .route(routes::LOG, get(log))
        .route(routes::STREAM, get(stream))
        .with_state(site)
}

async fn delta(
    State(site): State<PeerSite>,
    Path(digest): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let gone = || Refusal::not_found(format!("this node has no delta {digest}"));
    let path = site.cache.path(&digest).ok_or_else(gone)?;
    let download = begin(&site, Kind::Delta)?;
    // It may have gone to make room since.
    let response = ServeFile::new(path).try_call(request).await.map_err(|_| gone())?;
    Ok(response.map(|body| Body::from_stream(download.body(Body::new(body).into_data_stream()))))
}

/// The snapshots of this node's volume, oldest first.
async fn log(State(site): State<PeerSite>) -> Json<VolumeLog> {
    let snapshots = site.volume.state().snapshots;
    Json(VolumeLog { snapshots, ..VolumeLog::default() })
}

/// This node's whole volume at its newest snapshot.
async fn stream(State(site): State<PeerSite>) -> Result<Response, Refusal> {
    let state = site.volume.state();
    let (Some(dataset), Some(head)) = (&state.dataset, state.head()) else {
        return Err(Refusal::not_found("this node has no volume yet"));
    };
    let download = begin(&site, Kind::Full)?;
    let size = site.zfs.send_size(dataset, None, &head.name).await?;
    let stream = site.zfs.send(dataset, None, &head.name).await?;
    let chunks = ReaderStream::with_capacity(Encoding::Zstd.encode(stream), CHUNK_BYTES);
    let mut response = Response::builder()
        .header(SNAPSHOT_HEADER, head.name.as_str())
        .header(GUID_HEADER, head.guid.to_string());
    if let Some(size) = size {
        response = response.header(SIZE_HEADER, size);
    }
    let response = response.body(Body::from_stream(download.body(chunks)));
    Ok(response.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response()))
}

fn begin(site: &PeerSite, kind: Kind) -> Result<Download, Refusal> {
    site.downloads.begin(kind).ok_or_else(|| Refusal::busy(&site.downloads))
}
