//! Whether multicast works here: a session of zeros, for this node alone.

use super::subscription;
use bootstash_base::error::{Classified, ErrorClass};
use bootstash_daemon::config::MulticastReceiverConfig;
use bootstash_multicast::socket::{Interface, InterfaceError, ReceiverSocket, SocketError};
use bootstash_multicast::{Group, Receiver, ReceiverEvent};
use bootstash_net::api::{CallError, Client, LogQuery, LogReply, MulticastFindings, SessionReply, routes};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::time::{sleep_until, timeout};

/// Some seconds where nothing comes, about one where all does.
const PROBE_TIMEOUT: Duration = Duration::from_secs(15);
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// It could not even be tried.
#[derive(Debug, Error, Classified)]
pub enum ProbeError {
    /// The registrar does not send so.
    #[error(
        "the registrar sends nothing by multicast; give it multicast.group and multicast.interface in registrar.toml, and restart it"
    )]
    #[class(operator)]
    Off,
    /// The registrar.
    #[error(transparent)]
    #[class(source)]
    Call(#[from] CallError),
    /// The registrar does not answer.
    #[error("the registrar did not answer within {} s; look at its log", REPLY_TIMEOUT.as_secs())]
    #[class(transient)]
    Silent,
    /// The interface.
    #[error(transparent)]
    #[class(source)]
    Interface(#[from] InterfaceError),
    /// The socket.
    #[error(transparent)]
    #[class(source)]
    Socket(#[from] SocketError),
}

/// Finds out whether multicast from the registrar reaches this node.
#[derive(Clone, Debug)]
pub struct Doctor {
    registrar: Client,
    config: MulticastReceiverConfig,
}

impl Doctor {
    /// For a node of this registrar.
    pub fn new(registrar: Client, config: MulticastReceiverConfig) -> Self {
        Self { registrar, config }
    }

    /// Has the registrar send, and listens. Takes some seconds.
    ///
    /// # Errors
    /// Where it cannot be tried. That nothing is received is a finding.
    pub async fn examine(&self) -> Result<MulticastFindings, ProbeError> {
        let log: LogReply = within(self.registrar.get(routes::LOG, &LogQuery::default())).await?;
        let group = log.multicast.ok_or(ProbeError::Off)?;
        let interface = subscription::interface(&self.config, self.registrar.endpoint()).await?;
        // First: the first datagram may come with the answer.
        let mut socket = ReceiverSocket::open(group, &interface)?;
        let reply = self.begin().await?;
        let mut findings = self.findings(group, &interface, &socket, reply.bytes_per_second.get());
        drop(timeout(PROBE_TIMEOUT, self.listen(&mut socket, reply, &mut findings)).await);
        findings.socket_drops = socket.dropped().unwrap_or_default();
        Ok(findings)
    }

    /// Others have their turn first.
    async fn begin(&self) -> Result<SessionReply, ProbeError> {
        let until = Instant::now() + BUSY_TIMEOUT;
        loop {
            match within(self.registrar.post(routes::MULTICAST_PROBE, &Value::Null)).await {
                Err(error) if error.kind() == ErrorClass::Busy && Instant::now() < until => {
                    tokio::time::sleep(BUSY_TIMEOUT / 20).await;
                }
                begun => return begun,
            }
        }
    }

    fn findings(
        &self,
        group: Group,
        interface: &Interface,
        socket: &ReceiverSocket,
        bytes_per_second: u64,
    ) -> MulticastFindings {
        MulticastFindings {
            group,
            interface: interface.to_string(),
            enabled: self.config.enabled,
            reached: false,
            expected: 0,
            received: 0,
            socket_drops: 0,
            foreign_datagrams: 0,
            buffer_bytes: socket.buffer_bytes() as u64,
            wanted_buffer_bytes: subscription::buffer_for(bytes_per_second),
            bytes_per_second,
        }
    }

    async fn listen(
        &self,
        socket: &mut ReceiverSocket,
        reply: SessionReply,
        findings: &mut MulticastFindings,
    ) {
        let mut receiver = Receiver::new(Arc::new(reply.announcement), 0.0, Instant::now());
        loop {
            let (now, mut over) = (Instant::now(), false);
            receiver.handle_timeout(now);
            while let Some(event) = receiver.poll_event() {
                match event {
                    ReceiverEvent::Assemble(assembly) => receiver.handle_assembled(now, assembly.run()),
                    ReceiverEvent::Done | ReceiverEvent::Left(_) | ReceiverEvent::Failed { .. } => {
                        over = true
                    }
                    // Nobody wants the bytes.
                    ReceiverEvent::Block { .. } | ReceiverEvent::Fetch(_) => (),
                }
            }
            if let Some(report) = receiver.poll_report(now) {
                findings.expected += report.expected;
                findings.received += report.received;
                let replied = within(self.registrar.post::<Value>(routes::MULTICAST_REPORT, &report)).await;
                replied.map_or_else(|error| tracing::debug!("{error}"), drop);
            }
            if over {
                return;
            }
            let wake = receiver.poll_timeout().unwrap_or(now + PROBE_TIMEOUT);
            let receiving = socket.receive(|datagram| {
                // What is refused is counted.
                receiver.handle_datagram(Instant::now(), datagram).ok();
            });
            tokio::select! {
                received = receiving => if received.is_err() { return },
                () = sleep_until(wake.into()) => (),
            }
            let counters = receiver.counters();
            findings.reached |= counters.taken > 0;
            findings.foreign_datagrams = counters.wrong_length + counters.wrong_seal;
        }
    }
}

async fn within<T>(call: impl Future<Output = Result<T, CallError>>) -> Result<T, ProbeError> {
    timeout(REPLY_TIMEOUT, call).await.map_err(|_| ProbeError::Silent)?.map_err(ProbeError::from)
}
