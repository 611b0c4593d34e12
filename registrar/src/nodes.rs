//! The nodes heard of: what each reported, and when.

use crate::hosts::Hosts;
use bootstash_base::clock;
use bootstash_base::error::Chain;
use bootstash_base::files::replace_file;
use bootstash_base::names::{Guid, NodeName};
use bootstash_delta::VolumeLog;
use bootstash_net::api::{HostId, IdentityConflict, NodeReport, NodeView};
use chrono::{DateTime, Utc};
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// More nodes than this are not remembered.
const MAX_NODES: usize = 10_000;

/// The nodes, in memory and in a file.
#[derive(Debug)]
pub struct Nodes {
    file: PathBuf,
    known: Mutex<BTreeMap<NodeName, NodeRecord>>,
    changed: Notify,
}

const WRITE_EVERY: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct NodeRecord {
    last_contact: DateTime<Utc>,
    report: Option<NodeReport>,
    /// Where it serves others.
    #[serde(default)]
    peer: Option<String>,
    /// Which hosts speak under its name.
    #[serde(default)]
    hosts: Hosts,
    /// When its certificates were taken back.
    #[serde(default)]
    expelled: Option<DateTime<Utc>>,
}

impl NodeRecord {
    /// A contact in the future is one before a clock was set back, and no silence.
    fn spoke_within(&self, window: Duration, now: DateTime<Utc>) -> bool {
        (now - self.last_contact).to_std().map_or(true, |age| age <= window)
    }

    /// One that counts: nothing is kept for, or sent to, one that was expelled.
    fn counts(&self, window: Duration, now: DateTime<Utc>) -> bool {
        self.expelled.is_none() && self.spoke_within(window, now)
    }
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
            Ok(known) => Ok(Self { file, known: Mutex::new(known), changed: Notify::new() }),
            Err(source) => Err(NodesError { path: file, source }),
        }
    }

    /// Notes that a node spoke, and from which host and address.
    pub fn contact(&self, node: &NodeName, from: Option<(&HostId, IpAddr)>) {
        self.note(node, from, None);
    }

    /// Takes over who is a member: of each node whether, and since when, it is none any more.
    pub fn apply_standings(&self, standings: &BTreeMap<NodeName, Option<DateTime<Utc>>>) {
        let mut known = self.lock();
        for (node, expelled) in standings {
            if let Some(record) = known.get_mut(node) {
                record.expelled = *expelled;
            }
        }
        drop(known);
        self.changed.notify_one();
    }

    /// Forgets those that were expelled and have been silent for `window`.
    pub fn forget_expelled(&self, window: Duration) {
        let now = clock::now();
        self.lock().retain(|_, known| known.expelled.is_none() || known.spoke_within(window, now));
        self.changed.notify_one();
    }

    /// Whether other hosts use a node's identity, too.
    pub fn identity_conflict(&self, node: &NodeName) -> Option<IdentityConflict> {
        self.lock().get(node)?.hosts.conflict(clock::now())
    }

    /// Notes what a node said of itself, and where it serves others; [`Self::keep`] writes it down.
    pub fn report(&self, node: &NodeName, report: NodeReport, peer: Option<String>, from: IpAddr) {
        let host = report.host.clone();
        self.note(node, host.as_ref().map(|host| (host, from)), Some((report, peer)));
        self.changed.notify_one();
    }

    /// Where a node serves others, as it said last.
    pub fn peer(&self, node: &NodeName) -> Option<String> {
        self.lock().get(node)?.peer.clone()
    }

    /// Writes down what was reported, so that it is known after a restart: at most once a second, however
    /// many nodes report, and once more at the end. What a crash loses is reported again.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        while stop.run_until_cancelled(self.changed.notified()).await.is_some() {
            self.save_and_tell().await;
            stop.run_until_cancelled(tokio::time::sleep(WRITE_EVERY)).await;
        }
        self.save_and_tell().await;
    }

    async fn save_and_tell(self: &Arc<Self>) {
        let nodes = Arc::clone(self);
        let saved = tokio::task::spawn_blocking(move || nodes.save()).await;
        if let Ok(Err(error)) = saved {
            tracing::warn!(error = %Chain(&error), "what nodes reported is not kept over a restart");
        }
    }

    fn save(&self) -> Result<(), NodesError> {
        let known = self.lock().clone();
        let replaced = serde_json::to_vec(&known).map_err(io::Error::from);
        replaced
            .and_then(|json| replace_file(&self.file, &json))
            .map_err(|source| NodesError { path: self.file.clone(), source })
    }

    /// The nodes as an operator sees them, measured against what is published, and against the window
    /// within which a node counts.
    pub fn views(&self, log: &VolumeLog, window: Duration) -> Vec<NodeView> {
        let (now, known) = (clock::now(), self.lock());
        let view_of = |(name, known): (&NodeName, &NodeRecord)| NodeView {
            expired: !known.spoke_within(window, now),
            identity_conflict: known.hosts.conflict(now),
            ..view(name, known, log)
        };
        known.iter().map(view_of).collect()
    }

    /// Those not heard of for `window`.
    pub fn expired(&self, window: Duration) -> Vec<NodeName> {
        let (now, known) = (clock::now(), self.lock());
        let silent =
            known.iter().filter(|(_, known)| known.expelled.is_none() && !known.spoke_within(window, now));
        silent.map(|(name, _)| name.clone()).collect()
    }

    /// The newest snapshot of each node that spoke within `window`.
    pub fn bases(&self, window: Duration) -> Vec<(NodeName, Guid)> {
        let (now, known) = (clock::now(), self.lock());
        let recent = known.iter().filter(|(_, known)| known.counts(window, now));
        recent
            .filter_map(|(name, known)| {
                known.report.as_ref()?.head.as_ref().map(|head| (name.clone(), head.guid))
            })
            .collect()
    }

    /// Those that spoke within `silence`, hear what is sent to all, have no problem, and want something by their
    /// newest snapshot.
    pub fn wanting(&self, silence: Duration, wants: impl Fn(Option<Guid>) -> bool) -> BTreeSet<NodeName> {
        let (now, known) = (clock::now(), self.lock());
        let listens = |report: &NodeReport| {
            report.multicast_ok
                && report.problem.is_none()
                && wants(report.head.as_ref().map(|head| head.guid))
        };
        let recent = known.iter().filter(|(_, known)| known.counts(silence, now));
        let wanting = recent.filter(|(_, known)| known.report.as_ref().is_some_and(listens));
        wanting.map(|(name, _)| name.clone()).collect()
    }

    fn note(
        &self,
        node: &NodeName,
        from: Option<(&HostId, IpAddr)>,
        report: Option<(NodeReport, Option<String>)>,
    ) {
        let mut known = self.lock();
        if known.len() < MAX_NODES || known.contains_key(node) {
            let entry = known.entry(node.clone()).or_insert_with(|| NodeRecord {
                last_contact: clock::now(),
                report: None,
                peer: None,
                hosts: Hosts::default(),
                expelled: None,
            });
            entry.last_contact = clock::now();
            if let Some((host, address)) = from {
                entry.hosts.heard(host, &address.to_canonical().to_string(), entry.last_contact);
            }
            if let Some((report, peer)) = report {
                entry.report = Some(report);
                entry.peer = peer;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeName, NodeRecord>> {
        // Nothing panics while it is held.
        self.known.lock()
    }
}

fn view(name: &NodeName, known: &NodeRecord, log: &VolumeLog) -> NodeView {
    let head = known.report.as_ref().and_then(|report| report.head.as_ref());
    NodeView {
        name: name.clone(),
        snapshot: head.map(|head| head.name.clone()),
        lag: lag(head.map(|head| head.guid), log),
        last_contact: known.last_contact,
        expired: false,
        version: known.report.as_ref().map(|report| report.version.clone()),
        problem: known.report.as_ref().and_then(|report| report.problem.clone()),
        expelled: known.expelled,
        identity_conflict: None,
    }
}

/// How many snapshots a node at `head` is behind; an empty node lacks all there are.
fn lag(head: Option<Guid>, log: &VolumeLog) -> Option<u64> {
    let Some(head) = head else { return Some(log.snapshots.len() as u64) };
    let at = log.snapshots.iter().position(|snapshot| snapshot.guid == head)?;
    Some((log.snapshots.len() - 1 - at) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::testing::snapshot;

    const WINDOW: Duration = Duration::from_secs(60);
    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn report(head: Option<u64>) -> NodeReport {
        NodeReport {
            head: head.map(snapshot),
            version: "1".to_owned(),
            problem: None,
            peer: None,
            multicast_ok: true,
            host: None,
        }
    }

    #[tokio::test]
    async fn remembers_over_a_restart_and_tells_the_lag() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("nodes.json");
        let log = VolumeLog {
            snapshots: (1..=3).map(snapshot).collect(),
            deltas: Vec::new(),
            ..VolumeLog::default()
        };
        let nodes = Arc::new(Nodes::load(file.clone()).unwrap());
        let stop = CancellationToken::new();
        let keeping = tokio::spawn(Arc::clone(&nodes).keep(stop.clone()));
        for (node, head) in [("behind", Some(1)), ("empty", None), ("even", Some(3)), ("strange", Some(9))] {
            let peer = head.map(|head| format!("http://c{head}:1"));
            nodes.report(&node.parse().unwrap(), report(head), peer, HERE);
        }
        stop.cancel();
        keeping.await.unwrap();
        let nodes = Nodes::load(file).unwrap();
        let lags: Vec<_> = nodes.views(&log, WINDOW).into_iter().map(|view| view.lag).collect();
        assert_eq!(lags, [Some(2), Some(3), Some(0), None]);
        assert_eq!(nodes.bases(WINDOW).len(), 3);
        assert_eq!(nodes.peer(&"even".parse().unwrap()).unwrap(), "http://c3:1");
        assert_eq!(nodes.peer(&"empty".parse().unwrap()), None);
    }

    #[tokio::test]
    async fn an_expelled_node_holds_nothing_and_is_forgotten_in_time_also_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("nodes.json");
        let nodes = Arc::new(Nodes::load(file.clone()).unwrap());
        let (gone, stays): (NodeName, NodeName) = ("gone".parse().unwrap(), "stays".parse().unwrap());
        for node in [&gone, &stays] {
            nodes.report(node, report(Some(1)), None, HERE);
        }
        let expelled = Some(clock::now());
        nodes.apply_standings(&[(gone.clone(), expelled), (stays.clone(), None)].into());
        // What was under way when it was expelled brings nobody back.
        nodes.contact(&gone, None);
        let stop = CancellationToken::new();
        stop.cancel();
        Arc::clone(&nodes).keep(stop).await;
        let nodes = Nodes::load(file).unwrap();
        let bases = |nodes: &Nodes| nodes.bases(WINDOW).into_iter().map(|(node, _)| node).collect::<Vec<_>>();
        assert_eq!(bases(&nodes), std::slice::from_ref(&stays));
        assert_eq!(nodes.wanting(WINDOW, |_| true), [stays.clone()].into());
        assert_eq!(nodes.expired(Duration::ZERO), std::slice::from_ref(&stays));
        let views = nodes.views(&VolumeLog::default(), WINDOW);
        assert_eq!(views.iter().map(|view| view.expelled).collect::<Vec<_>>(), [expelled, None]);
        nodes.apply_standings(&[(gone.clone(), None)].into());
        assert_eq!(bases(&nodes), [gone.clone(), stays.clone()], "it joined again");
        nodes.apply_standings(&[(gone, expelled)].into());
        nodes.forget_expelled(WINDOW);
        assert_eq!(nodes.views(&VolumeLog::default(), WINDOW).len(), 2);
        nodes.forget_expelled(Duration::ZERO);
        assert_eq!(nodes.views(&VolumeLog::default(), WINDOW)[0].name, stays);
    }

    #[test]
    fn a_file_of_an_earlier_version_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("nodes.json");
        let text = r#"{"c1":{"last_contact":"2026-11-21T12:00:00Z","report":{"head":null,"version":"0.1.0","problem":null}}}"#;
        std::fs::write(&file, text).unwrap();
        let views = Nodes::load(file).unwrap().views(&VolumeLog::default(), WINDOW);
        assert_eq!((views[0].expelled, &views[0].identity_conflict), (None, &None));
    }

    #[test]
    fn a_node_that_was_silent_for_the_window_holds_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let nodes = Nodes::load(dir.path().join("nodes.json")).unwrap();
        for name in ["old", "new", "ahead"] {
            nodes.report(&name.parse().unwrap(), report(Some(1)), None, HERE);
        }
        let shift = |name: &str, by: chrono::TimeDelta| {
            nodes.lock().get_mut(&name.parse::<NodeName>().unwrap()).unwrap().last_contact += by;
        };
        shift("old", -chrono::TimeDelta::seconds(61));
        shift("ahead", chrono::TimeDelta::days(400));
        let names = |nodes: Vec<NodeName>| nodes.into_iter().map(|name| name.to_string()).collect::<Vec<_>>();
        assert_eq!(names(nodes.expired(WINDOW)), ["old"]);
        assert_eq!(names(nodes.bases(WINDOW).into_iter().map(|(name, _)| name).collect()), ["ahead", "new"]);
        let views = nodes.views(&VolumeLog::default(), WINDOW);
        assert_eq!(views.iter().map(|view| view.expired).collect::<Vec<_>>(), [false, false, true]);
    }
}
