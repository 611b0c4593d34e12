//! One delta's session, from the nodes that join to the last repair.

use super::join_window::{JoinWindow, Outcome};
use super::object::Object;
use super::send_task::SendTask;
use super::session::Session;
use super::{JOIN_WINDOW, NODES_MIN, Shared};
use bootstash_base::error::Chain;
use bootstash_base::names::NodeName;
use bootstash_delta::DeltaRecord;
use bootstash_multicast::SealError;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// A delta of which copies go to many.
pub(super) struct DeltaFile {
    pub(super) record: DeltaRecord,
    pub(super) path: PathBuf,
}

/// Waits for nodes while the file is read and hashed; sends where enough of them come.
pub(super) async fn run(shared: Arc<Shared>, window: Arc<JoinWindow>, delta: DeltaFile) {
    let DeltaFile { record, path } = delta;
    let Some((session, task, nodes)) = prepare(&shared, &window, &record, path).await else {
        shared.slots.release(&record.digest);
        return window.end(Outcome::Fetch);
    };
    shared.slots.start(&record.digest, &session);
    window.end(Outcome::Started(session));
    tracing::info!(file = record.file, bytes = record.bytes, nodes, "sending to all");
    let summary = task.run().await;
    shared.slots.release(&record.digest);
    shared.metrics.ended(&summary);
    summary.log(&record.file);
}

/// The session, and how many nodes it begins with; none where nodes are to fetch.
async fn prepare(
    shared: &Arc<Shared>,
    window: &JoinWindow,
    record: &DeltaRecord,
    path: PathBuf,
) -> Option<(Arc<Session>, SendTask, usize)> {
    let target = shared.target.clone();
    let preparing = tokio::task::spawn_blocking(move || Object::prepare(&target, &path));
    let nodes = shared.stop.run_until_cancelled(window.wait_for_nodes(JOIN_WINDOW)).await.unwrap_or_default();
    let prepared = preparing.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    if nodes.len() < NODES_MIN {
        return None;
    }
    let object = prepared.map_err(|error| {
        tracing::warn!(file = record.file, error = %Chain(&error), "not sent to all; nodes fetch it");
    });
    let begun = begin(shared, object.ok()?, &nodes).map_err(|error| {
        tracing::warn!(error = %Chain(&error), "nothing can be sent to all; nodes fetch it");
    });
    begun.ok().map(|(session, task)| (session, task, nodes.len()))
}

/// A session for these nodes, and the task that sends it.
pub(super) fn begin(
    shared: &Shared,
    object: Object,
    nodes: &BTreeSet<NodeName>,
) -> Result<(Arc<Session>, SendTask), SealError> {
    let target = &shared.target;
    let session = Arc::new(Session::new(target.group, &object, target.config.rate_bytes_per_second, nodes));
    let task = SendTask::new(Arc::clone(&session), object, shared.metrics.clone(), shared.stop.clone())?;
    Ok((session, task))
}
