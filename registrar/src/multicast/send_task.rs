//! The thread that packs what a session wants sent, and sends it.

use super::metrics::{MulticastMetrics, Sent};
use super::object::{Bytes, Object};
use super::session::{Next, Session};
use bootstash_base::error::Chain;
use bootstash_multicast::socket::{BATCH, SendError, SenderSocket};
use bootstash_multicast::{BlockLayout, PackError, Packer, RekeyError, SealError, Transmit};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// A session's task.
pub(super) struct SendTask {
    session: Arc<Session>,
    packer: Packer<Bytes>,
    socket: SenderSocket,
    layout: BlockLayout,
    metrics: MulticastMetrics,
    stop: CancellationToken,
}

/// Sending broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendTaskError {
    #[error(transparent)]
    Pack(#[from] PackError),
    #[error(transparent)]
    Rekey(#[from] RekeyError),
    #[error(transparent)]
    Send(#[from] SendError),
}

/// How a session ended.
#[derive(Debug)]
pub(super) struct SessionSummary {
    pub(super) outcome: Result<(), SendTaskError>,
    pub(super) sent: Sent,
    pub(super) took: Duration,
    pub(super) demoted: BTreeMap<&'static str, u64>,
    pub(super) gave_up: bool,
    /// The registrar stops.
    pub(super) stopped: bool,
}

impl SendTask {
    pub(super) fn new(
        session: Arc<Session>,
        object: Object,
        metrics: MulticastMetrics,
        stop: CancellationToken,
    ) -> Result<Self, SealError> {
        let Object { announcement, bytes, socket } = object;
        let layout = *announcement.layout();
        Ok(Self { session, packer: Packer::new(announcement, bytes)?, socket, layout, metrics, stop })
    }

    /// Sends until the session is over, on a thread of its own.
    pub(super) async fn run(self) -> SessionSummary {
        let sending = tokio::task::spawn_blocking(move || self.send_until_over());
        sending.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    fn send_until_over(mut self) -> SessionSummary {
        let (start, mut sent) = (Instant::now(), Sent::default());
        let outcome = self.send_all(&mut sent);
        let (demoted, gave_up) = self.session.demoted();
        SessionSummary {
            outcome,
            sent,
            took: start.elapsed(),
            demoted,
            gave_up,
            stopped: self.stop.is_cancelled(),
        }
    }

    fn send_all(&mut self, sent: &mut Sent) -> Result<(), SendTaskError> {
        while !self.stop.is_cancelled() {
            match self.session.next(BATCH) {
                Next::Send { new_key, due } => {
                    new_key.map_or(Ok(()), |key| self.packer.rekey(*key))?;
                    self.send(&due, sent)?;
                }
                Next::Again => (),
                Next::Over => break,
            }
        }
        Ok(())
    }

    /// Datagrams of one length go out together; a heartbeat is shorter, and the last of its batch.
    fn send(&mut self, due: &[Transmit], sent: &mut Sent) -> Result<(), SendTaskError> {
        for due in due.split_inclusive(|transmit| matches!(transmit, Transmit::Heartbeat(_))) {
            let mut batch = Vec::with_capacity(due.len() * 1500);
            let mut first_bytes = 0;
            for transmit in due {
                let datagram = self.packer.pack(transmit)?;
                first_bytes = if batch.is_empty() { datagram.len() } else { first_bytes };
                batch.extend_from_slice(&datagram);
                self.count(transmit, datagram.len(), sent);
            }
            self.socket.send(&batch, first_bytes)?;
            if let Some(Transmit::Heartbeat(_)) = due.last() {
                let (loss, bytes_per_second) = self.session.loss_and_rate();
                self.metrics.set_loss_and_rate(loss, bytes_per_second);
            }
        }
        Ok(())
    }

    fn count(&self, transmit: &Transmit, bytes: usize, sent: &mut Sent) {
        let kind = match transmit {
            Transmit::Heartbeat(_) => "beat",
            Transmit::Symbol(at) if at.index < self.layout.source_symbols(at.block) => "source",
            Transmit::Symbol(_) => "repair",
        };
        sent.add(kind, bytes);
        self.metrics.sent(kind, bytes);
    }
}

impl SessionSummary {
    /// Says in one line what it was.
    pub(super) fn log(&self, file: &str) {
        let (source, repair) = (self.sent.bytes("source"), self.sent.bytes("repair"));
        let (seconds, demoted) = (self.took.as_secs_f64(), self.demoted.values().sum::<u64>());
        match &self.outcome {
            Ok(()) if self.stopped => tracing::info!(file, seconds, source, repair, "stopped sending to all"),
            Ok(()) if self.gave_up => {
                tracing::warn!(
                    file,
                    seconds,
                    source,
                    repair,
                    "too many nodes lose too much; they fetch the rest"
                );
            }
            Ok(()) => tracing::info!(file, seconds, source, repair, by_unicast = demoted, "sent to all"),
            Err(error) => {
                tracing::warn!(file, error = %Chain(error), "sending to all broke off; nodes fetch the rest");
            }
        }
    }
}
