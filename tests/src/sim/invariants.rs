//! Checks each effect on a host's ZFS, as it happens, against the invariants.

use super::model::{Model, Reported};
use super::time;
use super::world::SNAPSHOTS_MAX;
use bootstash_agent::layout::Layout;
use bootstash_base::names::{DatasetName, Guid, SnapshotName};
use bootstash_delta::replication::ROW_MAX;
use bootstash_zfs::fake::FakeZfs;
use bootstash_zfs::{Received, Snapshot, Zfs};
use std::sync::Arc;

/// A report that came within this time may not have been seen yet when a collection began, and a node
/// that was last heard of about a window ago may count or not: clocks can tick every five minutes only.
const UNCERTAIN_MS: u64 = 400_000;

/// The host whose ZFS it is.
#[derive(Clone, Debug)]
pub(super) enum Owner {
    /// The registrar, which remembers a node for so long.
    Registrar { window_ms: u64 },
    /// A node of this name.
    Node(String),
}

/// Checks the effects on one ZFS.
#[derive(Clone, Debug)]
pub(super) struct InvariantChecker {
    pub(super) model: Arc<Model>,
    pub(super) owner: Owner,
}

/// A generation of a node's volume.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) number: u32,
    pub(super) dataset: DatasetName,
    pub(super) snapshots: Vec<Snapshot>,
}

/// The generations of the volume that lie beside `one`, in order.
pub(super) async fn generations(fake: &FakeZfs, one: &DatasetName) -> Vec<Generation> {
    let mut found = Vec::new();
    let Some(root) = one.parent() else { return found };
    // The fake answers at once, and fails only when it was told to.
    for dataset in fake.children(&root).await.unwrap_or_default() {
        if let Some(number) = Layout::generation_of(&dataset) {
            let snapshots = fake.snapshots(&dataset).await.unwrap_or_default();
            found.push(Generation { number, dataset, snapshots });
        }
    }
    found.sort_by_key(|generation| generation.number);
    found
}

impl InvariantChecker {
    /// A snapshot was taken, or was there.
    pub(super) fn taken(&self, fake: &FakeZfs, of: &DatasetName, taken: &Snapshot) {
        let Some(files) = fake.files(of, &taken.name) else { return };
        let mut facts = self.model.facts();
        facts.snapshots.entry(taken.guid).or_insert_with(|| (taken.name.clone(), files));
    }

    /// A clone was made or found.
    pub(super) fn cloned(&self, fake: &FakeZfs, clone: &DatasetName) {
        if !fake.is_as_cloned(clone) {
            self.model.violated(format_args!("view {clone} does not show its snapshot"));
        }
    }

    /// Something was received.
    pub(super) async fn received(&self, fake: &FakeZfs, into: &DatasetName, received: &Received) {
        self.is_what_was_taken(fake, into, &received.to);
        let Owner::Node(node) = &self.owner else { return };
        if received.from.is_some() {
            return;
        }
        let older = generations(fake, into).await;
        let mut facts = self.model.facts();
        let facts = facts.nodes.entry(node.clone()).or_default();
        // Only the one that is replaced now: of older ones it was decided when they were.
        let replaced = older.iter().rfind(|it| it.dataset != *into && !it.snapshots.is_empty());
        if let Some((replaced, head)) = replaced.and_then(|it| Some((it, it.snapshots.last()?)))
            && !facts.told.contains(&head.guid)
        {
            facts.keep.insert(replaced.dataset.clone(), head.guid);
        }
    }

    /// Whether a snapshot holds what one of its GUID held when it was taken.
    pub(super) fn is_what_was_taken(&self, fake: &FakeZfs, of: &DatasetName, snapshot: &Snapshot) {
        let here = fake.files(of, &snapshot.name);
        let facts = self.model.facts();
        let wrong = match facts.snapshots.get(&snapshot.guid) {
            None => Some("was never taken"),
            Some((name, _)) if *name != snapshot.name => Some("was taken under another name"),
            Some((_, files)) if here.as_ref() != Some(files) => {
                Some("holds something else than when it was taken")
            }
            Some(_) => None,
        };
        drop(facts);
        if let Some(wrong) = wrong {
            self.model.violated(format_args!("snapshot {of}@{} ({}) {wrong}", snapshot.name, snapshot.guid));
        }
    }

    /// A snapshot is about to be destroyed.
    pub(super) async fn destroys_snapshot(&self, fake: &FakeZfs, of: &DatasetName, name: &SnapshotName) {
        let snapshots = fake.snapshots(of).await.unwrap_or_default();
        let Some(at) = snapshots.iter().position(|it| it.name == *name) else { return };
        if at + 1 == snapshots.len() {
            self.model.violated(format_args!("the newest snapshot of {of} is destroyed"));
        }
        let Owner::Registrar { window_ms } = self.owner else { return };
        for (node, head) in self.bases(window_ms) {
            // What is far ahead of it may go where there are too many: one increment leads past that.
            let newer = snapshots.len() - 1 - at;
            let passed_over = |base: usize| at - base > ROW_MAX && newer >= SNAPSHOTS_MAX.get();
            let base = snapshots.iter().position(|it| it.guid == head).filter(|base| *base <= at);
            if base.is_some_and(|base| !passed_over(base)) {
                self.model.violated(format_args!("{name} is collected, which {node} needs to go on"));
            }
        }
    }

    fn bases(&self, window_ms: u64) -> Vec<(String, Guid)> {
        let now = time::now_ms();
        let most_ms = window_ms.saturating_sub(UNCERTAIN_MS);
        let counts = |report: &Reported| now - report.at_ms > UNCERTAIN_MS && now - report.spoke_ms < most_ms;
        let facts = self.model.facts();
        let reported = facts.reports.iter().filter(|(_, report)| counts(report));
        reported.filter_map(|(node, report)| Some((node.clone(), report.head?))).collect()
    }

    /// A file system is about to be destroyed: what breaks a promise once it is gone.
    pub(super) async fn destroys(&self, fake: &FakeZfs, name: &DatasetName) -> Option<String> {
        let Owner::Node(node) = &self.owner else { return Some(format!("{name} is destroyed")) };
        Layout::generation_of(name)?;
        let all = generations(fake, name).await;
        let whole = all.iter().rfind(|it| !it.snapshots.is_empty());
        if whole.is_some_and(|whole| whole.dataset == *name) {
            return Some(format!("the volume {name} of {node} is destroyed"));
        }
        let facts = self.model.facts();
        let keep = facts.nodes.get(node).and_then(|it| it.keep.get(name));
        keep.map(|head| format!("{name} of {node} is destroyed, whose {head} the registrar did not know"))
    }

    /// It is gone.
    pub(super) fn destroyed(&self, broken: Option<String>) {
        if let Some(broken) = broken {
            self.model.violated(format_args!("{broken}"));
        }
    }
}
