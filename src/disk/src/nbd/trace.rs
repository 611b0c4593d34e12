//! Which clusters were read, in the order of their first reads.

use crate::qcow2::CLUSTER_BYTES;
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashSet;
use tokio::sync::watch;
use tokio::time::Instant;

/// Records reads. Shared by the connections of an export.
#[derive(Debug)]
pub struct ReadTrace {
    seen: Mutex<Seen>,
    view: watch::Sender<TraceView>,
}

/// How far a trace is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceView {
    /// Clusters read so far.
    pub clusters: u64,
    /// When the last of them was first read.
    pub last_new: Option<Instant>,
}

#[derive(Debug, Default)]
struct Seen {
    set: HashSet<u64>,
    order: Vec<u64>,
}

impl ReadTrace {
    /// An empty one.
    pub fn new() -> Self {
        Self { seen: Mutex::default(), view: watch::Sender::default() }
    }

    /// Notes that `length` bytes from `offset` are being read.
    pub fn record(&self, offset: u64, length: u32) {
        if length == 0 {
            return;
        }
        let last = offset.saturating_add(u64::from(length) - 1) / CLUSTER_BYTES;
        let clusters = self.lock().add(offset / CLUSTER_BYTES..=last);
        self.view.send_if_modified(|view| {
            let grown = clusters > view.clusters;
            if grown {
                *view = TraceView { clusters, last_new: Some(Instant::now()) };
            }
            grown
        });
    }

    /// How far it is, now and with each new cluster.
    pub fn watch(&self) -> watch::Receiver<TraceView> {
        self.view.subscribe()
    }

    /// The numbers of the clusters read so far, in the order of their first reads.
    pub fn clusters(&self) -> Vec<u64> {
        self.lock().order.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock()
    }
}

impl Default for ReadTrace {
    fn default() -> Self {
        Self::new()
    }
}

impl Seen {
    /// How many clusters there are now.
    fn add(&mut self, clusters: std::ops::RangeInclusive<u64>) -> u64 {
        for cluster in clusters {
            if self.set.insert(cluster) {
                self.order.push(cluster);
            }
        }
        self.order.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_order_of_first_reads() {
        let trace = ReadTrace::new();
        for (offset, length) in [(5 * CLUSTER_BYTES, 512), (0, 512), (5 * CLUSTER_BYTES + 512, 512)] {
            trace.record(offset, length);
        }
        assert_eq!(trace.clusters(), [5, 0]);
    }

    #[test]
    fn counts_each_cluster_a_read_touches() {
        let trace = ReadTrace::new();
        trace.record(CLUSTER_BYTES - 1, 2);
        trace.record(3 * CLUSTER_BYTES, 0);
        assert_eq!(trace.clusters(), [0, 1]);
    }

    #[test]
    fn tells_watchers_of_new_clusters_only() {
        let trace = ReadTrace::new();
        let mut watch = trace.watch();
        trace.record(0, 512);
        let first = *watch.borrow_and_update();
        assert_eq!(first.clusters, 1);
        assert!(first.last_new.is_some());
        trace.record(512, 512);
        assert!(!watch.has_changed().unwrap());
        assert_eq!(*watch.borrow(), first);
    }
}
