//! Sending a delta to all nodes that want it, in one multicast session.
//!
//! A node that needs a delta asks for a session. The first to ask opens a join window where at least two nodes
//! want that delta; the session begins when all of them have asked, or a second later.
//!
//! Promises: nobody waits for others for more than a second; there are at most [`SESSIONS_MAX`], and together
//! they keep the configured rate; whatever fails, nodes are served one by one, as without.

mod delta_session;
mod join_window;
mod metrics;
mod object;
mod probe;
mod send_task;
mod session;
mod slots;

pub use metrics::MulticastMetrics;
pub use probe::ProbeError;
pub use session::{Session, SessionReportError};

use crate::nodes::Nodes;
use crate::volume::PublicationLog;
use bootstash_base::names::NodeName;
use bootstash_daemon::config::MulticastConfig;
use bootstash_delta::DeltaRecord;
use bootstash_multicast::{Group, Report};
use bootstash_net::api::{ReportReply, SessionReply};
use delta_session::DeltaFile;
use join_window::{Demand, JoinWindow, Outcome};
use slots::{Slot, Slots};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// At a time.
pub const SESSIONS_MAX: usize = 4;
/// For fewer, unicast is as good.
const NODES_MIN: usize = 2;
/// Nodes learn of a snapshot within moments of each other; a node that asks later finds the session under way.
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
    slots: Slots,
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
            let (slots, tasks) = (Slots::new(target.config.rate_bytes_per_second), TaskTracker::new());
            Arc::new(Shared { target, nodes, log, metrics, slots, tasks, stop })
        }))
    }

    /// The group, where there is one.
    pub fn group(&self) -> Option<Group> {
        self.0.as_ref().map(|shared| shared.target.group)
    }

    /// A session in which `node` receives the delta; none where it is to be fetched. The answer comes within a second,
    /// and the time it takes to read the file.
    pub async fn join(&self, node: &NodeName, record: DeltaRecord, path: PathBuf) -> Option<SessionReply> {
        let shared = self.0.as_ref()?;
        match shared.slot(node, DeltaFile { record, path })? {
            Slot::Running(session) => session.admit(node).then(|| session.reply()),
            Slot::Joining(window) => match window.outcome().await {
                Outcome::Started(session) => Some(session.reply()),
                Outcome::Waiting | Outcome::Fetch => None,
            },
        }
    }

    /// A session in which only `node` takes part, of zeros: it tells whether they arrive.
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
        let sessions = self.0.as_ref().map(|shared| shared.slots.sessions()).unwrap_or_default();
        let session = sessions.into_iter().find(|session| session.is(report.session));
        session.ok_or(SessionReportError::UnknownSession { session: report.session })?.report(node, report)
    }

    /// A node is a member no more: nothing that is sent from now on is for it.
    pub fn expel(&self, node: &NodeName) {
        if let Some(shared) = &self.0 {
            shared.slots.sessions().iter().for_each(|session| session.expel(node));
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
        let digest = delta.record.digest.clone();
        let open = || {
            let window = Arc::new(JoinWindow::new(self.expected(&delta.record, node)?));
            self.tasks.spawn(delta_session::run(Arc::clone(self), Arc::clone(&window), delta));
            Some(window)
        };
        self.slots.find_or_open(&digest, open, |slot| {
            if let Slot::Joining(window) = slot {
                window.add(node);
            }
        })
    }

    /// Who will ask; none where there are too few of them.
    fn expected(&self, record: &DeltaRecord, node: &NodeName) -> Option<BTreeSet<NodeName>> {
        let log = self.log.now();
        let demand = Demand::by(&log);
        let mut expected = self.nodes.wanting(REPORTED_WITHIN, |head| demand.is_for(record, head));
        expected.insert(node.clone());
        (expected.len() >= NODES_MIN).then_some(expected)
    }
}
