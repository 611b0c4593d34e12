//! Receiving a delta that the registrar sends to all nodes at once.
//!
//! Promises: what is received is the announced bytes, block by block; what is lost is fetched, and no more than
//! that; a node that receives nothing logs it, continues by unicast within seconds, and tries again later.

mod error;
mod metrics;
mod partial_file;
mod pieces;
mod probe;
mod session;
mod subscription;

pub use error::MulticastError;
pub use metrics::MulticastMetrics;
pub use probe::{Doctor, ProbeError};

use bootstash_base::error::Chain;
use bootstash_daemon::config::MulticastReceiverConfig;
use bootstash_delta::DeltaRecord;
use bootstash_multicast::socket::ReceiverSocket;
use bootstash_multicast::{Group, LeaveReason};
use bootstash_net::api::{CallError, Client, SessionReply, SessionRequest, routes};
use partial_file::PartialFile;
use session::ReceiveSession;
use std::path::Path;
use std::time::Duration;
use subscription::Subscription;
use tokio::time::{Instant, timeout};

/// After it did not work: a switch that drops a group keeps dropping it.
const BACK_OFF: Duration = Duration::from_secs(600);
/// The registrar opens a session in a second, and the time it takes to read the file.
const SESSION_OPEN_TIMEOUT: Duration = Duration::from_secs(60);
/// A smaller file is fetched as fast.
const BYTES_MIN: u64 = 64 << 10;

/// Receives deltas by multicast, where this node is configured to and the registrar sends them.
#[derive(Debug)]
pub struct MulticastClient {
    registrar: Client,
    subscription: Subscription,
    metrics: MulticastMetrics,
    back_off_until: Option<Instant>,
    buffer_warned: bool,
}

/// What became of a delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The file is complete.
    Complete,
    /// Fetch it; its beginning may be there.
    Fetch,
}

impl MulticastClient {
    /// As configured.
    pub fn new(registrar: Client, config: MulticastReceiverConfig, metrics: MulticastMetrics) -> Self {
        let subscription = Subscription::new(config);
        Self { registrar, subscription, metrics, back_off_until: None, buffer_warned: false }
    }

    /// Joins the group that the registrar sends to, before something is sent.
    pub async fn set_group(&mut self, group: Option<Group>) {
        self.subscription.set_group(group, self.registrar.endpoint()).await;
    }

    /// Whether it would receive what is sent now, as far as it knows.
    pub fn is_usable(&self) -> bool {
        self.subscription.current().is_some()
            && self.back_off_until.is_none_or(|until| until <= Instant::now())
    }

    /// Receives the delta into the file at `path`, which must not exist, where there is a session of it.
    pub async fn receive(&mut self, record: &DeltaRecord, path: &Path) -> Outcome {
        if !self.is_usable() || record.bytes < BYTES_MIN {
            return Outcome::Fetch;
        }
        match self.try_to_receive(record, path).await {
            Ok(outcome) => outcome,
            Err(error) => {
                // Whatever is wrong with the registrar shows when it is asked for the file.
                tracing::debug!(file = record.file, "not received by multicast: {}", Chain(&error));
                Outcome::Fetch
            }
        }
    }

    async fn try_to_receive(&mut self, record: &DeltaRecord, path: &Path) -> Result<Outcome, MulticastError> {
        let Some((group, interface)) = self.subscription.current() else { return Ok(Outcome::Fetch) };
        // Before the session: its first datagram may come with the answer.
        let socket = ReceiverSocket::open(group, interface)?;
        let Some(reply) = self.open(record).await? else { return Ok(Outcome::Fetch) };
        if reply.group != group || reply.announcement.layout().length() != record.bytes {
            return Err(MulticastError::Announcement { file: record.file.clone() });
        }
        self.warn_of_small_buffer(&socket, reply.bytes_per_second.get());
        let partial = PartialFile::create(path, record.bytes)?;
        let mut session =
            ReceiveSession::new(self.registrar.clone(), &record.file, reply.announcement, socket, partial);
        let ended = session.run().await;
        self.metrics.ended(&session);
        self.note_failure(&session, group);
        match ended {
            Ok(()) => Ok(Outcome::Complete),
            Err(error) => {
                session.into_partial_file().keep_prefix()?;
                Err(error)
            }
        }
    }

    async fn open(&self, record: &DeltaRecord) -> Result<Option<SessionReply>, CallError> {
        let request = SessionRequest { file: record.file.clone() };
        match timeout(SESSION_OPEN_TIMEOUT, self.registrar.post(routes::MULTICAST, &request)).await {
            Ok(answered) => answered,
            Err(_) => Ok(None),
        }
    }

    /// Does without multicast for a while where it did not work.
    fn note_failure(&mut self, session: &ReceiveSession, group: Group) {
        let minutes = BACK_OFF.as_secs() / 60;
        match session.left() {
            None => return,
            // The session ended before this node had fetched the rest; the next will work again.
            Some(LeaveReason::HeartbeatTimeout) if session.counters().taken > 0 => return,
            Some(LeaveReason::HeartbeatTimeout) => tracing::warn!(
                "nothing is received from multicast group {group}, continuing without it for {minutes} minutes; \
                 `bootstash doctor multicast` tells more"
            ),
            Some(LeaveReason::KeyCompromised) => tracing::warn!(
                "somebody sends to multicast group {group} what the registrar does not, with the session's key; \
                 nothing of it was kept; continuing without it for {minutes} minutes"
            ),
        }
        self.back_off_until = Some(Instant::now() + BACK_OFF);
    }

    /// A full buffer drops datagrams without an error.
    fn warn_of_small_buffer(&mut self, socket: &ReceiverSocket, bytes_per_second: u64) {
        let wanted = subscription::buffer_for(bytes_per_second);
        if (socket.buffer_bytes() as u64) < wanted && !std::mem::replace(&mut self.buffer_warned, true) {
            tracing::warn!(
                "the socket for multicast holds {} bytes, and at {bytes_per_second} bytes a second should hold {wanted}; \
                 raise it: sysctl -w net.core.rmem_max={}",
                socket.buffer_bytes(),
                wanted / 2
            );
        }
    }
}
