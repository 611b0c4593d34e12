//! Combine: one increment over all the snapshots that a node lacks, made once for all nodes that are where it is.
//!
//! Promises: one of a kind is made at a time, and no more are kept than `delta::replication` says; who asks waits a
//! moment only; what failed is logged once and left alone for a while, and nodes go by the deltas there are.

use super::publish::Publisher;
use super::{VolumeError, VolumeHandle};
use bootstash_base::error::{Chain, Classified, ErrorClass};
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::names::Guid;
use bootstash_delta::replication::{expired_combined, has_room_for_combined, wants_combined};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long an answer is held back for one that is under way. Shorter than any node waits for an answer.
const HOLD: Duration = Duration::from_secs(3);
/// After one that failed.
const PAUSE: Duration = Duration::from_secs(300);

/// Has combined deltas made. Cheap to clone; clones are one.
#[derive(Clone, Debug)]
pub struct Combiner(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    volume: VolumeHandle,
    /// By the snapshot they start from.
    begun: Mutex<BTreeMap<Guid, Combining>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Debug)]
enum Combining {
    /// True once it has ended.
    UnderWay(watch::Receiver<bool>),
    Failed(Instant),
}

impl Combiner {
    /// Has them made by `volume` until `stop` is cancelled.
    pub fn new(volume: VolumeHandle, stop: CancellationToken) -> Self {
        let (begun, tasks) = (Mutex::default(), TaskTracker::new());
        Self(Arc::new(Shared { volume, begun, tasks, stop }))
    }

    /// Has one made for nodes at `head`, and waits for it a moment. Whether it is still under way then.
    pub async fn is_under_way(&self, head: Guid) -> bool {
        let Some(mut ended) = self.begin(head) else { return false };
        let ended = timeout(HOLD, ended.wait_for(|ended| *ended)).await;
        ended.is_err()
    }

    fn begin(&self, head: Guid) -> Option<watch::Receiver<bool>> {
        let mut begun = self.0.begun.lock();
        match begun.get(&head) {
            Some(Combining::UnderWay(ended)) => return Some(ended.clone()),
            Some(Combining::Failed(at)) if at.elapsed() < PAUSE => return None,
            _ if self.0.stop.is_cancelled() => return None,
            _ => (),
        }
        let (end, ended) = watch::channel(false);
        begun.insert(head, Combining::UnderWay(ended.clone()));
        let shared = Arc::clone(&self.0);
        self.0.tasks.spawn(async move {
            shared.combine(head).await;
            end.send_replace(true);
        });
        Some(ended)
    }

    /// Waits until none is under way. Call after the stop token was cancelled.
    pub async fn finish(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl Shared {
    async fn combine(&self, head: Guid) {
        let combined = self.volume.combine(head).await;
        let mut begun = self.begun.lock();
        begun.retain(|_, it| matches!(it, Combining::Failed(at) if at.elapsed() < PAUSE) || !is_failed(it));
        begun.remove(&head);
        if let Err(error) = combined
            && error.kind() != ErrorClass::Cancelled
        {
            let error = Chain(&error).to_string();
            tracing::warn!(error, "cannot combine deltas for nodes far behind; they get each of them");
            begun.insert(head, Combining::Failed(Instant::now()));
        }
    }
}

fn is_failed(combining: &Combining) -> bool {
    matches!(combining, Combining::Failed(_))
}

impl Publisher {
    /// Makes the increment from a snapshot to the newest, where it is worth it; `bases` are the newest snapshots of the
    /// nodes that count.
    pub(super) async fn combine(&mut self, from: Guid, bases: &HashSet<Guid>) -> Result<(), VolumeError> {
        self.publish_all().await?;
        let log = self.log.now();
        // Somebody else can have asked for the same before.
        if !wants_combined(from, &log) || !has_room_for_combined(&log, bases) {
            return Ok(());
        }
        let base = log.snapshots.iter().find(|snapshot| snapshot.guid == from);
        if let Some(newest) = log.snapshots.last() {
            self.make(base, newest).await?;
            kill_point(KillPoint::CombinedMade);
        }
        self.publish_all().await?;
        self.drop_expired_combined(bases).await.map(drop)
    }

    /// Removes the combined deltas that no node needs any more; returns their names.
    pub(super) async fn drop_expired_combined(
        &mut self,
        bases: &HashSet<Guid>,
    ) -> Result<Vec<String>, VolumeError> {
        let expired = expired_combined(&self.log.now(), bases);
        if expired.is_empty() {
            return Ok(Vec::new());
        }
        self.publish_without(&expired).await?;
        self.drop_unlisted().await
    }
}
