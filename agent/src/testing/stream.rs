//! The stub registrar's full streams, cut on order.

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bootstash_base::names::DatasetName;
use bootstash_delta::Encoding;
use bootstash_net::api::{GUID_HEADER, SIZE_HEADER, SNAPSHOT_HEADER, StreamQuery, routes};
use bootstash_zfs::fake::FakeZfs;
use bootstash_zfs::{ByteStream, Snapshot, Zfs};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::AsyncReadExt;

/// What a registrar streams from. Cheap to clone.
#[derive(Clone)]
pub(super) struct Streams {
    zfs: Arc<FakeZfs>,
    volume: DatasetName,
    pub(super) offered: Arc<AtomicBool>,
    /// After how many bytes each of the next is cut.
    pub(super) cuts: Arc<Mutex<VecDeque<usize>>>,
    /// Of each that was asked for, whether it was to be a rest.
    pub(super) asked: Arc<Mutex<Vec<bool>>>,
}

impl Streams {
    pub(super) fn of(zfs: Arc<FakeZfs>, volume: DatasetName) -> Self {
        let (offered, cuts, asked) = (Arc::default(), Arc::default(), Arc::default());
        Self { zfs, volume, offered, cuts, asked }
    }

    pub(super) fn routes(&self) -> Router {
        Router::new().route(routes::STREAM, get(send)).with_state(self.clone())
    }
}

async fn send(State(streams): State<Streams>, Query(query): Query<StreamQuery>) -> Response {
    if !streams.offered.load(Ordering::Relaxed) {
        return StatusCode::NOT_FOUND.into_response();
    }
    streams.asked.lock().unwrap().push(query.resume.is_some());
    let snapshots = streams.zfs.snapshots(&streams.volume).await.unwrap();
    let (to, stream): (Snapshot, ByteStream) = match query.resume {
        None => {
            let head = snapshots.last().cloned().unwrap();
            let stream = streams.zfs.send(&streams.volume, None, &head.name).await.unwrap();
            (head, stream)
        }
        Some(token) => match streams.zfs.send_rest(&streams.volume, &token.parse().unwrap()).await {
            Ok((name, stream)) => (snapshots.into_iter().find(|it| it.name == name).unwrap(), stream),
            Err(_) => return StatusCode::GONE.into_response(),
        },
    };
    let mut body = Vec::new();
    Encoding::Zstd.encode(stream).read_to_end(&mut body).await.unwrap();
    if let Some(cut) = streams.cuts.lock().unwrap().pop_front() {
        body.truncate(cut);
    }
    let headers = [
        (SNAPSHOT_HEADER, to.name.to_string()),
        (GUID_HEADER, to.guid.to_string()),
        (SIZE_HEADER, body.len().to_string()),
    ];
    (headers, body).into_response()
}
