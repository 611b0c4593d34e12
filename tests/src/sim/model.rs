//! The model that the system is checked against: what each snapshot held when it was taken, which overlays
//! there are and what they chain onto, what each node was told; and the violations found.

use super::trace::Trace;
use bootstash_base::names::{DatasetName, Guid, SnapshotName};
use bootstash_delta::VolumeLog;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The files of a snapshot.
pub(super) type Tree = BTreeMap<PathBuf, Arc<Vec<u8>>>;

/// An overlay that exists, or is about to.
#[derive(Clone, Debug)]
pub(super) struct Overlay {
    pub(super) node: String,
    pub(super) cache: PathBuf,
    /// What the cache held when it was made.
    pub(super) bytes: Vec<u8>,
    /// The node was rebooted since: its cache may be seen later, but never otherwise.
    pub(super) rebooted: bool,
}

/// The state of the model for one node.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeFacts {
    /// The snapshots that the registrar knew, or remembered, in its last answer.
    pub(super) told: BTreeSet<Guid>,
    /// Volumes that were replaced although the registrar did not know their newest snapshot.
    pub(super) keep: BTreeMap<DatasetName, Guid>,
}

/// A node's report, as the registrar has it.
#[derive(Clone, Debug)]
pub(super) struct Reported {
    pub(super) head: Option<Guid>,
    pub(super) at_ms: u64,
    /// When the node was last heard of, which is not kept over a restart.
    pub(super) spoke_ms: u64,
}

/// The state of the model.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) snapshots: HashMap<Guid, (SnapshotName, Tree)>,
    /// By digest: every cache ever captured, and its image.
    pub(super) captured: HashMap<blake3::Hash, PathBuf>,
    pub(super) overlays: BTreeMap<PathBuf, Overlay>,
    /// All that ever were.
    pub(super) made: BTreeSet<PathBuf>,
    pub(super) nodes: BTreeMap<String, NodeFacts>,
    pub(super) reports: BTreeMap<String, Reported>,
    /// Delta files that were looked at.
    pub(super) verified: BTreeSet<String>,
    violations: Vec<String>,
}

/// The model and the trace, shared by all that is simulated.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) trace: Trace,
    facts: Mutex<Facts>,
}

impl Model {
    pub(super) fn new(trace: Trace) -> Arc<Self> {
        Arc::new(Self { trace, facts: Mutex::default() })
    }

    pub(super) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A promise was broken.
    pub(super) fn violated(&self, how: fmt::Arguments<'_>) {
        self.trace.note(format_args!("VIOLATION {how}"));
        let how = how.to_string();
        let mut facts = self.facts();
        if !facts.violations.contains(&how) {
            facts.violations.push(how);
        }
    }

    pub(super) fn violations(&self) -> Vec<String> {
        self.facts().violations.clone()
    }

    /// The registrar answered a node with this log.
    pub(super) fn told(&self, node: &str, log: &VolumeLog) {
        let known = log.snapshots.iter().map(|snapshot| snapshot.guid);
        let told = known.chain(log.collected.iter().copied()).collect();
        self.facts().nodes.entry(node.to_owned()).or_default().told = told;
    }

    /// The registrar ended: it will remember what was reported, and when.
    pub(super) fn forget_contacts(&self) {
        self.facts().reports.values_mut().for_each(|report| report.spoke_ms = report.at_ms);
    }

    /// An overlay is made of what lies at `cache`.
    pub(super) fn made_overlay(&self, node: &str, path: &Path, cache: &Path, bytes: Vec<u8>) {
        let overlay = Overlay { node: node.to_owned(), cache: cache.to_owned(), bytes, rebooted: false };
        let mut facts = self.facts();
        facts.made.insert(path.to_owned());
        facts.overlays.insert(path.to_owned(), overlay);
    }

    /// The overlays of a node whose files exist.
    pub(super) fn overlays_of(&self, node: &str) -> Vec<PathBuf> {
        let mut facts = self.facts();
        facts.overlays.retain(|path, _| path.exists());
        facts.overlays.iter().filter(|(_, it)| it.node == node).map(|(path, _)| path.clone()).collect()
    }
}
