//! The nodes heard of: what each reported, and when.

use bootstash::api::{NodeReport, NodeView, VolumeLog};
use bootstash::clock;
use bootstash::names::{Guid, NodeName};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// More nodes than this are not remembered: nobody is authenticated yet, and anybody can make up names.
const MAX_NODES: usize = 10_000;

/// The nodes, in memory and in a file.
#[derive(Debug)]
pub struct Nodes {
    file: PathBuf,
    known: Mutex<BTreeMap<NodeName, Known>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    last_contact: DateTime<Utc>,
    report: Option<NodeReport>,
}

/// The file of nodes could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep what is known of the nodes in {}", .path.display())]
pub struct NodesError {
    path: PathBuf,
    source: io::Error,
}

impl Nodes {
    /// What `file` says, or none yet.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn load(file: PathBuf) -> Result<Self, NodesError> {
        let known = match std::fs::read(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            read => read.and_then(|bytes| serde_json::from_slice(&bytes).map_err(io::Error::from)),
        };
        match known {
            Ok(known) => Ok(Self { file, known: Mutex::new(known) }),
            Err(source) => Err(NodesError { path: file, source }),
        }
    }

    /// Notes that a node spoke.
    pub fn contact(&self, node: &NodeName) {
        self.note(node, None);
    }

    /// Notes what a node said of itself, and keeps it over a restart.
    ///
    /// # Errors
    /// When the file cannot be written; the report counts until the restart.
    pub fn report(&self, node: &NodeName, report: NodeReport) -> Result<(), NodesError> {
        self.note(node, Some(report));
        let known = self.lock().clone();
        replace(&self.file, &known).map_err(|source| NodesError { path: self.file.clone(), source })
    }

    /// The nodes as an operator sees them, measured against what is published.
    pub fn views(&self, log: &VolumeLog) -> Vec<NodeView> {
        let known = self.lock();
        known.iter().map(|(name, known)| view(name, known, log)).collect()
    }

    /// The newest snapshot of each node that spoke within `window`.
    pub fn bases(&self, window: Duration) -> Vec<(NodeName, Guid)> {
        let now = clock::now();
        let spoke = |known: &Known| {
            (now - known.last_contact).to_std().is_ok_and(|age| age <= window) || known.last_contact > now
        };
        let known = self.lock();
        let recent = known.iter().filter(|(_, known)| spoke(known));
        recent
            .filter_map(|(name, known)| {
                known.report.as_ref()?.head.as_ref().map(|head| (name.clone(), head.guid))
            })
            .collect()
    }

    fn note(&self, node: &NodeName, report: Option<NodeReport>) {
        let mut known = self.lock();
        if known.len() < MAX_NODES || known.contains_key(node) {
            let entry = known
                .entry(node.clone())
                .or_insert_with(|| Known { last_contact: clock::now(), report: None });
            entry.last_contact = clock::now();
            if report.is_some() {
                entry.report = report;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeName, Known>> {
        // Nothing panics while it is held.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn view(name: &NodeName, known: &Known, log: &VolumeLog) -> NodeView {
    let head = known.report.as_ref().and_then(|report| report.head.as_ref());
    NodeView {
        name: name.clone(),
        snapshot: head.map(|head| head.name.clone()),
        lag: lag(head.map(|head| head.guid), log),
        last_contact: known.last_contact,
        version: known.report.as_ref().map(|report| report.version.clone()),
        problem: known.report.as_ref().and_then(|report| report.problem.clone()),
    }
}

/// How many snapshots a node at `head` is behind; an empty node lacks all there are.
fn lag(head: Option<Guid>, log: &VolumeLog) -> Option<u64> {
    let Some(head) = head else { return Some(log.snapshots.len() as u64) };
    let at = log.snapshots.iter().position(|snapshot| snapshot.guid == head)?;
    Some((log.snapshots.len() - 1 - at) as u64)
}

fn replace(path: &Path, known: &BTreeMap<NodeName, Known>) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new("/")))?;
    // At once: the writer of JSON makes a write of each word.
    file.write_all(&serde_json::to_vec(known)?)?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::testing::snapshot;

    fn report(head: Option<u64>) -> NodeReport {
        NodeReport { head: head.map(snapshot), version: "1".to_owned(), problem: None }
    }

    #[test]
    fn remembers_over_a_restart_and_tells_the_lag() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("nodes.json");
        let log = VolumeLog {
            snapshots: (1..=3).map(snapshot).collect(),
            deltas: Vec::new(),
            collected: Vec::new(),
        };
        let nodes = Nodes::load(file.clone()).unwrap();
        for (node, head) in [("behind", Some(1)), ("empty", None), ("even", Some(3)), ("strange", Some(9))] {
            nodes.report(&node.parse().unwrap(), report(head)).unwrap();
        }
        let nodes = Nodes::load(file).unwrap();
        let lags: Vec<_> = nodes.views(&log).into_iter().map(|view| view.lag).collect();
        assert_eq!(lags, [Some(2), Some(3), Some(0), None]);
        assert_eq!(nodes.bases(Duration::from_secs(60)).len(), 3);
    }
}
