//! The join window: the time in which nodes that want the same delta join its session.

use super::Session;
use bootstash_base::names::{Guid, NodeName};
use bootstash_delta::replication::DeltaPaths;
use bootstash_delta::{DeltaRecord, VolumeLog};
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// What nodes will ask for, as they plan it by this log.
pub(super) struct Demand<'a> {
    snapshots: HashSet<Guid>,
    paths: Option<DeltaPaths<'a>>,
}

impl<'a> Demand<'a> {
    pub(super) fn by(log: &'a VolumeLog) -> Self {
        let newest = log.snapshots.last();
        Self {
            snapshots: log.snapshots.iter().map(|snapshot| snapshot.guid).collect(),
            paths: newest.map(|newest| DeltaPaths::to(newest.guid, &log.deltas)),
        }
    }

    /// Whether a node whose newest snapshot is `head` will ask for this delta: it is on its way, or, for a whole
    /// volume, the node shares nothing with this log.
    pub(super) fn is_for(&self, record: &DeltaRecord, head: Option<Guid>) -> bool {
        match head.filter(|head| self.snapshots.contains(head)) {
            Some(head) => {
                let way = self.paths.as_ref().and_then(|paths| paths.from(head));
                record.from.is_some() && way.is_some_and(|way| way.contains(&record))
            }
            None => record.from.is_none(),
        }
    }
}

/// Nodes that asked, and those that are expected to.
#[derive(Debug)]
pub(super) struct JoinWindow {
    expected: BTreeSet<NodeName>,
    joined: Mutex<BTreeSet<NodeName>>,
    joined_changed: Notify,
    outcome: watch::Sender<Outcome>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// Nothing yet.
    Waiting,
    /// This session, with all who had asked.
    Started(Arc<Session>),
    /// None: each is to fetch.
    Fetch,
}

impl JoinWindow {
    pub(super) fn new(expected: BTreeSet<NodeName>) -> Self {
        Self {
            expected,
            joined: Mutex::default(),
            joined_changed: Notify::new(),
            outcome: watch::Sender::new(Outcome::Waiting),
        }
    }

    pub(super) fn add(&self, node: &NodeName) {
        self.lock().insert(node.clone());
        self.joined_changed.notify_one();
    }

    /// Waits until all expected nodes have joined, for this long at most; gives those that joined.
    pub(super) async fn wait_for_nodes(&self, longest: Duration) -> BTreeSet<NodeName> {
        let all = async {
            while !self.expected.is_subset(&self.lock()) {
                self.joined_changed.notified().await;
            }
        };
        drop(timeout(longest, all).await);
        self.lock().clone()
    }

    /// Nodes that asked late, but before this, are added to the session that has begun.
    pub(super) fn end(&self, outcome: Outcome) {
        if let Outcome::Started(session) = &outcome {
            for node in self.lock().iter() {
                session.admit(node);
            }
        }
        self.outcome.send_replace(outcome);
    }

    /// Waits for what comes of it.
    pub(super) async fn outcome(&self) -> Outcome {
        let mut outcome = self.outcome.subscribe();
        let decided = outcome.wait_for(|outcome| !matches!(outcome, Outcome::Waiting)).await;
        decided.map_or(Outcome::Fetch, |outcome| outcome.clone())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<NodeName>> {
        self.joined.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    fn names(text: &str) -> BTreeSet<NodeName> {
        text.split_whitespace().map(|name| name.parse().unwrap()).collect()
    }

    const LONGEST: Duration = Duration::from_secs(1);

    #[test]
    fn only_who_is_behind_a_delta_will_ask_for_it() {
        let name = |number| bootstash_base::names::SnapshotName::new(number, chrono::DateTime::UNIX_EPOCH);
        let snapshot = |number| bootstash_zfs::Snapshot {
            name: name(number),
            guid: Guid::new(number),
            created: chrono::DateTime::UNIX_EPOCH,
        };
        let mut log = VolumeLog { snapshots: (1..5).map(snapshot).collect(), ..VolumeLog::default() };
        let record = |from: Option<u64>, to| DeltaRecord {
            file: String::new(),
            from: from.map(Guid::new),
            to: Guid::new(to),
            to_name: name(to),
            bytes: 1,
            digest: String::new(),
        };
        log.deltas = (1..4).map(|from| record(Some(from), from + 1)).collect();
        let asking = |log: &VolumeLog, record: &DeltaRecord| {
            let heads = [None, Some(1), Some(2), Some(3), Some(4), Some(77)];
            heads.map(|head| Demand::by(log).is_for(record, head.map(Guid::new)))
        };
        assert_eq!(asking(&log, &record(Some(2), 3)), [false, true, true, false, false, false]);
        assert_eq!(asking(&log, &record(None, 4)), [true, false, false, false, false, true]);
        // One over many snapshots is for those at its beginning, who want none of the others.
        log.deltas.push(record(Some(1), 4));
        assert_eq!(asking(&log, &record(Some(1), 4)), [false, true, false, false, false, false]);
        assert_eq!(asking(&log, &record(Some(2), 3)), [false, false, true, false, false, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_all_are_there() {
        let (window, start) = (JoinWindow::new(names("a b")), Instant::now());
        window.add(&"a".parse().unwrap());
        let later = async {
            tokio::time::sleep(LONGEST / 4).await;
            window.add(&"c".parse().unwrap());
            window.add(&"b".parse().unwrap());
        };
        let (nodes, ()) = tokio::join!(window.wait_for_nodes(LONGEST), later);
        assert_eq!((nodes, start.elapsed()), (names("a b c"), LONGEST / 4));
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_without_who_does_not_come() {
        let (window, start) = (JoinWindow::new(names("a b dead")), Instant::now());
        window.add(&"a".parse().unwrap());
        assert_eq!(window.wait_for_nodes(LONGEST).await, names("a"));
        assert_eq!(start.elapsed(), LONGEST);
        window.end(Outcome::Fetch);
        assert!(matches!(window.outcome().await, Outcome::Fetch));
    }
}
