//! Bringing a lost volume back from a node: finds the node, and hands its stream to the volume's owner.

use super::State;
use crate::volume::{Restore, VolumeError};
use axum::Json;
use axum::extract::State as Shared;
use bootstash_base::error::Classified;
use bootstash_base::names::Guid;
use bootstash_delta::Encoding;
use bootstash_delta::VolumeLog;
use bootstash_net::api::{
    CallError, Dialer, GUID_HEADER, LogQuery, RestoreReply, RestoreRequest, SIZE_HEADER, Shown, StreamQuery,
    Transfer, is_authority, routes, stream_header,
};
use bootstash_net::identity::{ExpectedPeer, Identity};
use bootstash_net::server::Refusal;
use bootstash_zfs::{ByteStream, Snapshot};
use futures::{StreamExt, TryStreamExt};
use reqwest::Response;
use std::io;
use tokio::sync::watch;
use tokio_util::io::StreamReader;

/// A volume could not be brought back; nothing was changed.
#[derive(Debug, thiserror::Error, Classified)]
enum RestoreError {
    #[error(
        "node {node} has not told where it serves others (its [peers] listen); give the URL instead, as \
         https://HOST:7432"
    )]
    #[class(permanent)]
    Unknown { node: String },
    #[error("{from:?} is neither a node's name nor a URL as https://HOST:7432")]
    #[class(permanent)]
    NoUrl { from: String },
    #[error("the node at {url} has no snapshot; ask another")]
    #[class(permanent)]
    Empty { url: String },
    #[error("the node at {url} sent a stream that does not say what it is; is its version far from ours?")]
    #[class(operator)]
    Stream { url: String },
    #[error("another restore is under way")]
    #[class(busy)]
    UnderWay,
    #[error("cannot ask the node at {url}")]
    #[class(source)]
    Call { url: String, source: CallError },
    #[error(transparent)]
    #[class(source)]
    Volume(#[from] VolumeError),
}

/// How far a restore is, for who looks; none while there is none.
pub type Restoring = watch::Sender<Option<Transfer>>;

pub(super) async fn progress(Shared(state): Shared<State>) -> Json<Option<Transfer>> {
    Json(*state.restoring.borrow())
}

pub(super) async fn restore(
    Shared(state): Shared<State>,
    Json(request): Json<RestoreRequest>,
) -> Result<Json<RestoreReply>, Refusal> {
    let url = url_of(&state, &request.from)?;
    let call = |source| RestoreError::Call { url: url.clone(), source };
    let dialer = Dialer::new(state.members.credentials().clone());
    let client = dialer.client(&url, expected(&request.from)).map_err(call)?;
    let theirs: VolumeLog = client.get(routes::LOG, &LogQuery::default()).await.map_err(call)?;
    let head = theirs.snapshots.last().cloned();
    let head = head.ok_or_else(|| RestoreError::Empty { url: url.clone() })?;
    if let Some(ours) = state.log.head() {
        return unchanged(&state, url, &ours, &head).await;
    }
    let begun = Begun::of(&state)?;
    let response = client.stream(routes::STREAM, &StreamQuery::default()).await.map_err(call)?;
    let to: Guid =
        stream_header(&response, GUID_HEADER).ok_or_else(|| RestoreError::Stream { url: url.clone() })?;
    tracing::info!(url, snapshot = %head.name, "restoring the volume");
    let earlier = theirs.snapshots.iter().map(|snapshot| snapshot.guid);
    let history = earlier.filter(|guid| *guid != to).collect();
    let stream = decoded(&state, response, begun);
    let restored = state.volume.restore(Restore { to, history, stream }).await?;
    let (snapshot, images) = (restored.snapshot.name, restored.images);
    Ok(Json(RestoreReply { restored: true, from: url, snapshot, images }))
}

/// The same restore again changes nothing; any other would.
async fn unchanged(
    state: &State,
    from: String,
    ours: &Snapshot,
    theirs: &Snapshot,
) -> Result<Json<RestoreReply>, Refusal> {
    if ours.guid != theirs.guid {
        let what = format!("snapshot {}", ours.name);
        return Err(RestoreError::from(VolumeError::NotEmpty { what }).into());
    }
    let images = super::images::count(state).await?;
    Ok(Json(RestoreReply { restored: false, from, snapshot: ours.name.clone(), images }))
}

fn url_of(state: &State, from: &str) -> Result<String, RestoreError> {
    if let Some(authority) = from.strip_prefix("https://") {
        let authority = authority.trim_end_matches('/');
        return match is_authority(authority) {
            true => Ok(format!("https://{authority}")),
            false => Err(RestoreError::NoUrl { from: from.to_owned() }),
        };
    }
    let node = from.parse().map_err(|_| RestoreError::NoUrl { from: from.to_owned() })?;
    state.nodes.peer(&node).ok_or_else(|| RestoreError::Unknown { node: from.to_owned() })
}

/// A node that is named has to be it; behind a URL any node will do.
fn expected(from: &str) -> ExpectedPeer {
    from.parse().map_or(ExpectedPeer::AnyNode, |node| ExpectedPeer::Exactly(Identity::Node(node)))
}

/// The stream, which breaks off when the registrar stops.
fn decoded(state: &State, response: Response, begun: Begun) -> ByteStream {
    let total_bytes = stream_header(&response, SIZE_HEADER);
    let chunks = response.bytes_stream().map_err(io::Error::other);
    let encoded = StreamReader::new(Box::pin(chunks.take_until(state.stop.clone().cancelled_owned())));
    Box::pin(Shown::new(Encoding::Zstd.decode(encoded), total_bytes, move |transfer| begun.show(transfer)))
}

/// The only restore; it is over when this is dropped.
struct Begun(Restoring);

impl Begun {
    fn of(state: &State) -> Result<Self, RestoreError> {
        let begins = state.restoring.send_if_modified(|transfer| {
            let begins = transfer.is_none();
            *transfer = Some(transfer.unwrap_or(Transfer { bytes: 0, total_bytes: None }));
            begins
        });
        begins.then(|| Self(state.restoring.clone())).ok_or(RestoreError::UnderWay)
    }

    fn show(&self, transfer: Transfer) {
        self.0.send_replace(Some(transfer));
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.send_replace(None);
    }
}
