//! Hear: a delta that the registrar sends to all nodes at once.
//!
//! Promises: what was heard is the announced bytes, block by block; what was not heard is fetched, and no more than
//! that; a node that hears nothing says so, goes on by unicast within seconds, and tries again later.

mod error;
mod metrics;
mod pieces;
mod probe;
mod session;
mod store;
mod tune;

pub use error::HearError;
pub use metrics::HearMetrics;
pub use probe::{Doctor, ProbeError};

use bootstash_base::error::Chain;
use bootstash_daemon::config::HearingConfig;
use bootstash_delta::DeltaRecord;
use bootstash_multicast::socket::ReceiverSocket;
use bootstash_multicast::{Group, LeaveReason};
use bootstash_net::api::{CallError, Client, SessionReply, SessionRequest, routes};
use session::Hearing;
use std::path::Path;
use std::time::Duration;
use store::Store;
use tokio::time::{Instant, timeout};
use tune::Tuner;

/// After it was no use: a switch that drops a group does so for long.
const AVOID: Duration = Duration::from_secs(600);
/// Opening a session takes the registrar a second, and what it takes to read the file.
const OPENING: Duration = Duration::from_secs(60);
/// What is smaller comes as well by itself.
const LEAST_BYTES: u64 = 64 << 10;

/// Hears deltas, where this node is told to and the registrar sends them.
#[derive(Debug)]
pub struct Hearer {
    registrar: Client,
    tuner: Tuner,
    metrics: HearMetrics,
    avoid_until: Option<Instant>,
    buffer_was_told: bool,
}

/// What came of hearing a delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The file is whole.
    Whole,
    /// Fetch it; its beginning may be there.
    Fetch,
}

impl Hearer {
    /// As configured.
    pub fn new(registrar: Client, config: HearingConfig, metrics: HearMetrics) -> Self {
        let tuner = Tuner::new(config);
        Self { registrar, tuner, metrics, avoid_until: None, buffer_was_told: false }
    }

    /// Takes note of where the registrar sends to, and becomes a member of that group before there is something to
    /// hear.
    pub async fn tune(&mut self, group: Option<Group>) {
        self.tuner.tune(group, self.registrar.endpoint()).await;
    }

    /// Whether it would hear what is sent now, as far as it knows.
    pub fn hears(&self) -> bool {
        self.tuner.tuned().is_some() && self.avoid_until.is_none_or(|until| until <= Instant::now())
    }

    /// Hears the delta into the file at `path`, which must not exist, where a session of it is to be had.
    pub async fn hear(&mut self, record: &DeltaRecord, path: &Path) -> Heard {
        if !self.hears() || record.bytes < LEAST_BYTES {
            return Heard::Fetch;
        }
        match self.try_to_hear(record, path).await {
            Ok(heard) => heard,
            Err(error) => {
                // Whatever is wrong with the registrar shows when it is asked for the file.
                tracing::debug!(file = record.file, "not heard: {}", Chain(&error));
                Heard::Fetch
            }
        }
    }

    async fn try_to_hear(&mut self, record: &DeltaRecord, path: &Path) -> Result<Heard, HearError> {
        let Some((group, interface)) = self.tuner.tuned() else { return Ok(Heard::Fetch) };
        // Before the session: its first datagram may come with the answer.
        let socket = ReceiverSocket::open(group, interface)?;
        let Some(reply) = self.open(record).await? else { return Ok(Heard::Fetch) };
        if reply.group != group || reply.announcement.layout().length() != record.bytes {
            return Err(HearError::Announcement { file: record.file.clone() });
        }
        self.tell_of_buffer(&socket, reply.bytes_per_second.get());
        let store = Store::create(path, record.bytes)?;
        let mut hearing =
            Hearing::new(self.registrar.clone(), &record.file, reply.announcement, socket, store);
        let ended = hearing.run().await;
        self.metrics.ended(&hearing);
        self.judge(&hearing, group);
        match ended {
            Ok(()) => Ok(Heard::Whole),
            Err(error) => {
                hearing.into_store().keep_beginning()?;
                Err(error)
            }
        }
    }

    async fn open(&self, record: &DeltaRecord) -> Result<Option<SessionReply>, CallError> {
        let request = SessionRequest { file: record.file.clone() };
        match timeout(OPENING, self.registrar.post(routes::MULTICAST, &request)).await {
            Ok(answered) => answered,
            Err(_) => Ok(None),
        }
    }

    /// Leaves multicast alone for a while where it was no use.
    fn judge(&mut self, hearing: &Hearing, group: Group) {
        let minutes = AVOID.as_secs() / 60;
        match hearing.left() {
            None => return,
            // The session ended before this node had fetched the rest; the next it will hear, too.
            Some(LeaveReason::HeartbeatTimeout) if hearing.counters().taken > 0 => return,
            Some(LeaveReason::HeartbeatTimeout) => tracing::warn!(
                "nothing is heard of multicast group {group}, going on without it for {minutes} minutes; \
                 `bootstash doctor multicast` tells more"
            ),
            Some(LeaveReason::KeyCompromised) => tracing::warn!(
                "somebody sends to multicast group {group} what the registrar does not, with the session's key; \
                 nothing of it was kept; going on without it for {minutes} minutes"
            ),
        }
        self.avoid_until = Some(Instant::now() + AVOID);
    }

    /// A buffer that is full drops without a word.
    fn tell_of_buffer(&mut self, socket: &ReceiverSocket, bytes_per_second: u64) {
        let wanted = tune::buffer_for(bytes_per_second);
        if (socket.buffer_bytes() as u64) < wanted && !std::mem::replace(&mut self.buffer_was_told, true) {
            tracing::warn!(
                "the socket for multicast holds {} bytes, and at {bytes_per_second} bytes a second should hold {wanted}; \
                 raise it: sysctl -w net.core.rmem_max={}",
                socket.buffer_bytes(),
                wanted / 2
            );
        }
    }
}
