//! Transmit: a delta to all nodes that want it, in one multicast session.
//!
//! A node that needs a delta asks to hear it. The first to ask opens a session where at least two nodes want that
//! delta; it begins when all of them have asked, or a second later.
//!
//! Promises: nobody waits for others for more than a second; there are at most [`SESSIONS_MAX`], and together
//! they keep the configured rate; whatever fails, nodes are served one by one, as without.

mod join_window;
mod metrics;
mod object;
mod probe;
mod send_task;
mod session;

pub use metrics::MulticastMetrics;
pub use probe::ProbeError;
pub use session::{Session, SessionReportError};

use crate::nodes::Nodes;
use crate::volume::PublicationLog;
use bootstash_base::error::Chain;
use bootstash_base::names::NodeName;
use bootstash_daemon::config::MulticastConfig;
use bootstash_delta::DeltaRecord;
use bootstash_multicast::{Group, Report};
use bootstash_net::api::{ReportReply, SessionReply};
use join_window::{JoinWindow, Outcome};
use object::Object;
use send_task::SendTask;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// At a time.
pub const SESSIONS_MAX: usize = 4;
/// A session with fewer is none: to the one node the delta goes as well by itself.
const NODES_MIN: usize = 2;
/// Nodes learn of a snapshot within moments of each other; who comes later finds the session under way.
const JOIN_WINDOW: Duration = Duration::from_secs(1);
/// A node asks for news at least every minute.
const REPORTED_WITHIN: Duration = Duration::from_secs(90);

/// All sessions. Cheap to clone; clones are one.
#[derive(Clone, Debug)]
pub struct MulticastSessions(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    target: MulticastTarget,
    nodes: Arc<Nodes>,
    log: PublicationLog,
    metrics: MulticastMetrics,
    slots: Mutex<Vec<(String, Slot)>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Where and how to send.
#[derive(Clone, Debug)]
struct MulticastTarget {
    group: Group,
    interface: String,
    config: MulticastConfig,
}

#[derive(Clone, Debug)]
enum Slot {
    JoinWindow(Arc<JoinWindow>),
    Running(Arc<Session>),
}

/// A delta of which copies go to many.
struct DeltaFile {
    record: DeltaRecord,
    path: PathBuf,
}

impl MulticastSessions {
    /// As configured; one that never sends where there is no group.
    pub fn new(
        config: &MulticastConfig,
        nodes: Arc<Nodes>,
        log: PublicationLog,
        metrics: MulticastMetrics,
        stop: CancellationToken,
    ) -> Self {
        let target = config.group.zip(config.interface.clone()).map(|(group, interface)| MulticastTarget {
            group,
            interface,
            config: config.clone(),
        });
        Self(target.map(|target| {
            let (slots, tasks) = (Mutex::default(), TaskTracker::new());
            Arc::new(Shared { target, nodes, log, metrics, slots, tasks, stop })
        }))
    }

    /// The group, where there is one.
    pub fn group(&self) -> Option<Group> {
        self.0.as_ref().map(|shared| shared.target.group)
    }

    /// A session in which `node` hears the delta; none where it is to be fetched. Takes a second at most, and what
    /// it takes to read the file.
    pub async fn join(&self, node: &NodeName, record: DeltaRecord, path: PathBuf) -> Option<SessionReply> {
        let shared = self.0.as_ref()?;
        match shared.slot(node, DeltaFile { record, path })? {
            Slot::Running(session) => session.admit(node).then(|| session.reply()),
            Slot::JoinWindow(window) => match window.outcome().await {
                Outcome::Started(session) => Some(session.reply()),
                Outcome::Waiting | Outcome::Fetch => None,
            },
        }
    }

    /// A session in which only `node` takes part, of bytes that nobody wants: it tells whether they arrive.
    ///
    /// # Errors
    /// Where nothing can be sent, with what is to be done.
    pub async fn probe(&self, node: &NodeName) -> Result<SessionReply, ProbeError> {
        let shared = self.0.as_ref().ok_or(ProbeError::Off)?;
        probe::begin_probe(shared, node).await
    }

    /// What a node that takes part reports; what it is to do.
    ///
    /// # Errors
    /// Where there is no such session, or the report cannot be.
    pub fn report(&self, node: &NodeName, report: &Report) -> Result<ReportReply, SessionReportError> {
        let sessions = self.0.as_ref().map(|shared| shared.sessions()).unwrap_or_default();
        let session = sessions.into_iter().find(|session| session.is(report.session));
        session.ok_or(SessionReportError::UnknownSession { session: report.session })?.report(node, report)
    }

    /// A node is a member no more: nothing that is sent from now on is for it.
    pub fn expel(&self, node: &NodeName) {
        if let Some(shared) = &self.0 {
            shared.sessions().iter().for_each(|session| session.expel(node));
        }
    }

    /// Waits until all that was begun has ended, which is soon after the registrar was told to stop.
    pub async fn finish(&self) {
        if let Some(shared) = &self.0 {
            shared.tasks.close();
            shared.tasks.wait().await;
        }
    }
}

impl Shared {
    /// Where the delta's session is, with the node in it; a new one where it is worth it.
    fn slot(self: &Arc<Self>, node: &NodeName, delta: DeltaFile) -> Option<Slot> {
        let mut slots = self.lock();
        let known = slots.iter().find(|(digest, _)| *digest == delta.record.digest);
        let slot = match known {
            Some((_, slot)) => slot.clone(),
            None => {
                let expected = self.expected(&delta.record, node)?;
                (slots.len() < SESSIONS_MAX).then_some(())?;
                let slot = Slot::JoinWindow(Arc::new(JoinWindow::new(expected)));
                slots.push((delta.record.digest.clone(), slot.clone()));
                self.begin(&slot, delta);
                slot
            }
        };
        if let Slot::JoinWindow(window) = &slot {
            window.add(node);
        }
        Some(slot)
    }

    /// Who will ask; none where there are too few of them.
    fn expected(&self, record: &DeltaRecord, node: &NodeName) -> Option<BTreeSet<NodeName>> {
        let log = self.log.now();
        let mut expected = self.nodes.wanting(REPORTED_WITHIN, |head| join_window::wants(&log, record, head));
        expected.insert(node.clone());
        (expected.len() >= NODES_MIN).then_some(expected)
    }

    fn begin(self: &Arc<Self>, slot: &Slot, delta: DeltaFile) {
        if let Slot::JoinWindow(window) = slot {
            self.tasks.spawn(run(Arc::clone(self), Arc::clone(window), delta));
        }
    }

    fn set_slot(&self, digest: &str, slot: Option<Slot>) {
        let mut slots = self.lock();
        slots.retain(|(of, _)| of != digest);
        slots.extend(slot.map(|slot| (digest.to_owned(), slot)));
        self.share_rate(&slots);
    }

    /// What is configured is for all together.
    fn share_rate(&self, slots: &[(String, Slot)]) {
        let sessions = running(slots);
        let share = self.target.config.rate_bytes_per_second.get() / (sessions.len() as u64).max(1);
        sessions.iter().for_each(|session| session.limit(share));
    }

    fn sessions(&self) -> Vec<Arc<Session>> {
        running(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(String, Slot)>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn running(slots: &[(String, Slot)]) -> Vec<Arc<Session>> {
    let sessions = slots.iter().filter_map(|(_, slot)| match slot {
        Slot::Running(session) => Some(Arc::clone(session)),
        Slot::JoinWindow(_) => None,
    });
    sessions.collect()
}

/// One delta's transmission, from those who gather to the last repair.
async fn run(shared: Arc<Shared>, window: Arc<JoinWindow>, delta: DeltaFile) {
    let DeltaFile { record, path } = delta;
    let target = shared.target.clone();
    let preparing = tokio::task::spawn_blocking(move || Object::prepare(&target, &path));
    let nodes = shared.stop.run_until_cancelled(window.wait_for_nodes(JOIN_WINDOW)).await.unwrap_or_default();
    let prepared = preparing.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    let begun = match prepared {
        _ if nodes.len() < NODES_MIN => None,
        Ok(object) => begin(&shared, object, &nodes),
        Err(error) => {
            tracing::warn!(file = record.file, error = %Chain(&error), "not sent to all; nodes fetch it");
            None
        }
    };
    let Some((session, sending)) = begun else {
        shared.set_slot(&record.digest, None);
        return window.end(Outcome::Fetch);
    };
    shared.set_slot(&record.digest, Some(Slot::Running(Arc::clone(&session))));
    window.end(Outcome::Started(session));
    tracing::info!(file = record.file, bytes = record.bytes, nodes = nodes.len(), "sending to all");
    let summary = sending.run().await;
    shared.set_slot(&record.digest, None);
    shared.metrics.ended(&summary);
    summary.log(&record.file);
}

fn begin(
    shared: &Arc<Shared>,
    object: Object,
    nodes: &BTreeSet<NodeName>,
) -> Option<(Arc<Session>, SendTask)> {
    let target = &shared.target;
    let session = Arc::new(Session::new(target.group, &object, target.config.rate_bytes_per_second, nodes));
    match SendTask::new(Arc::clone(&session), object, shared.metrics.clone(), shared.stop.clone()) {
        Ok(sending) => Some((session, sending)),
        Err(error) => {
            tracing::warn!(error = %Chain(&error), "nothing can be sent to all; nodes fetch it");
            None
        }
    }
}
