//! Transmit: a delta to all nodes that want it, in one multicast session.
//!
//! A node that needs a delta asks to hear it. The first to ask opens a session where at least two nodes want that
//! delta; it begins when all of them have asked, or a second later.
//!
//! Promises: nobody waits for others for more than a second; there are at most [`SESSIONS_MAX`], and together
//! they keep the configured rate; whatever fails, nodes are served one by one, as without.

mod gather;
mod metrics;
mod object;
mod probe;
mod session;
mod speak;

pub use metrics::TransmitMetrics;
pub use probe::ProbeError;
pub use session::{Session, StrangeSession};

use crate::nodes::Nodes;
use crate::volume::PublicationLog;
use bootstash_base::error::Chain;
use bootstash_base::names::NodeName;
use bootstash_daemon::config::MulticastConfig;
use bootstash_delta::DeltaRecord;
use bootstash_multicast::{Group, Report};
use bootstash_net::api::{ReportReply, SessionReply};
use gather::{Gathering, Outcome};
use object::Object;
use speak::SpeakTask;
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
const GATHER: Duration = Duration::from_secs(1);
/// A node asks for news at least every minute.
const HEARD_WITHIN: Duration = Duration::from_secs(90);

/// All sessions. Cheap to clone; clones are one.
#[derive(Clone, Debug)]
pub struct Transmitter(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    station: Station,
    nodes: Arc<Nodes>,
    log: PublicationLog,
    metrics: TransmitMetrics,
    stages: Mutex<Vec<(String, Stage)>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Where and how to send.
#[derive(Clone, Debug)]
struct Station {
    group: Group,
    interface: String,
    config: MulticastConfig,
}

#[derive(Clone, Debug)]
enum Stage {
    Gathering(Arc<Gathering>),
    Running(Arc<Session>),
}

/// A delta of which copies go to many.
struct Wanted {
    record: DeltaRecord,
    path: PathBuf,
}

impl Transmitter {
    /// As configured; one that never sends where there is no group.
    pub fn new(
        config: &MulticastConfig,
        nodes: Arc<Nodes>,
        log: PublicationLog,
        metrics: TransmitMetrics,
        stop: CancellationToken,
    ) -> Self {
        let station = config.group.zip(config.interface.clone()).map(|(group, interface)| Station {
            group,
            interface,
            config: config.clone(),
        });
        Self(station.map(|station| {
            let (stages, tasks) = (Mutex::default(), TaskTracker::new());
            Arc::new(Shared { station, nodes, log, metrics, stages, tasks, stop })
        }))
    }

    /// The group, where there is one.
    pub fn group(&self) -> Option<Group> {
        self.0.as_ref().map(|shared| shared.station.group)
    }

    /// A session in which `node` hears the delta; none where it is to be fetched. Takes a second at most, and what
    /// it takes to read the file.
    pub async fn join(&self, node: &NodeName, record: DeltaRecord, path: PathBuf) -> Option<SessionReply> {
        let shared = self.0.as_ref()?;
        match shared.stage(node, Wanted { record, path })? {
            Stage::Running(session) => session.admit(node).then(|| session.reply()),
            Stage::Gathering(gathering) => match gathering.outcome().await {
                Outcome::Begun(session) => Some(session.reply()),
                Outcome::Waiting | Outcome::Off => None,
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
    pub fn report(&self, node: &NodeName, report: &Report) -> Result<ReportReply, StrangeSession> {
        let sessions = self.0.as_ref().map(|shared| shared.sessions()).unwrap_or_default();
        let session = sessions.into_iter().find(|session| session.is(report.session));
        session.ok_or(StrangeSession::Gone { session: report.session })?.report(node, report)
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
    fn stage(self: &Arc<Self>, node: &NodeName, wanted: Wanted) -> Option<Stage> {
        let mut stages = self.lock();
        let known = stages.iter().find(|(digest, _)| *digest == wanted.record.digest);
        let stage = match known {
            Some((_, stage)) => stage.clone(),
            None => {
                let expected = self.expected(&wanted.record, node)?;
                (stages.len() < SESSIONS_MAX).then_some(())?;
                let stage = Stage::Gathering(Arc::new(Gathering::new(expected)));
                stages.push((wanted.record.digest.clone(), stage.clone()));
                self.begin(&stage, wanted);
                stage
            }
        };
        if let Stage::Gathering(gathering) = &stage {
            gathering.add(node);
        }
        Some(stage)
    }

    /// Who will ask; none where there are too few of them.
    fn expected(&self, record: &DeltaRecord, node: &NodeName) -> Option<BTreeSet<NodeName>> {
        let log = self.log.now();
        let mut expected = self.nodes.wanting(HEARD_WITHIN, |head| gather::wants(&log, record, head));
        expected.insert(node.clone());
        (expected.len() >= NODES_MIN).then_some(expected)
    }

    fn begin(self: &Arc<Self>, stage: &Stage, wanted: Wanted) {
        if let Stage::Gathering(gathering) = stage {
            self.tasks.spawn(run(Arc::clone(self), Arc::clone(gathering), wanted));
        }
    }

    fn set_stage(&self, digest: &str, stage: Option<Stage>) {
        let mut stages = self.lock();
        stages.retain(|(of, _)| of != digest);
        stages.extend(stage.map(|stage| (digest.to_owned(), stage)));
        self.share_rate(&stages);
    }

    /// What is configured is for all together.
    fn share_rate(&self, stages: &[(String, Stage)]) {
        let sessions = running(stages);
        let share = self.station.config.rate_bytes_per_second.get() / (sessions.len() as u64).max(1);
        sessions.iter().for_each(|session| session.limit(share));
    }

    fn sessions(&self) -> Vec<Arc<Session>> {
        running(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(String, Stage)>> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn running(stages: &[(String, Stage)]) -> Vec<Arc<Session>> {
    let sessions = stages.iter().filter_map(|(_, stage)| match stage {
        Stage::Running(session) => Some(Arc::clone(session)),
        Stage::Gathering(_) => None,
    });
    sessions.collect()
}

/// One delta's transmission, from those who gather to the last repair.
async fn run(shared: Arc<Shared>, gathering: Arc<Gathering>, wanted: Wanted) {
    let Wanted { record, path } = wanted;
    let station = shared.station.clone();
    let preparing = tokio::task::spawn_blocking(move || Object::prepare(&station, &path));
    let nodes = shared.stop.run_until_cancelled(gathering.gather(GATHER)).await.unwrap_or_default();
    let prepared = preparing.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    let begun = match prepared {
        _ if nodes.len() < NODES_MIN => None,
        Ok(object) => begin(&shared, object, &nodes),
        Err(error) => {
            tracing::warn!(file = record.file, error = %Chain(&error), "not sent to all; nodes fetch it");
            None
        }
    };
    let Some((session, speaking)) = begun else {
        shared.set_stage(&record.digest, None);
        return gathering.end(Outcome::Off);
    };
    shared.set_stage(&record.digest, Some(Stage::Running(Arc::clone(&session))));
    gathering.end(Outcome::Begun(session));
    tracing::info!(file = record.file, bytes = record.bytes, nodes = nodes.len(), "sending to all");
    let told = speaking.run().await;
    shared.set_stage(&record.digest, None);
    shared.metrics.ended(&told);
    told.log(&record.file);
}

fn begin(
    shared: &Arc<Shared>,
    object: Object,
    nodes: &BTreeSet<NodeName>,
) -> Option<(Arc<Session>, SpeakTask)> {
    let station = &shared.station;
    let session = Arc::new(Session::new(station.group, &object, station.config.rate_bytes_per_second, nodes));
    match SpeakTask::new(Arc::clone(&session), object, shared.metrics.clone(), shared.stop.clone()) {
        Ok(speaking) => Some((session, speaking)),
        Err(error) => {
            tracing::warn!(error = %Chain(&error), "nothing can be sent to all; nodes fetch it");
            None
        }
    }
}
