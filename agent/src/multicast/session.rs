//! Driving a receiver: datagrams in, reports out, parts fetched, blocks restored and written.
//!
//! Nothing here delays datagrams for long: restoring and writing are done on other threads, one block at a time,
//! reports and fetches go on beside.

use super::MulticastError;
use super::partial_file::PartialFile;
use super::pieces::{self, Pieces};
use bootstash_base::error::Chain;
use bootstash_multicast::socket::ReceiverSocket;
use bootstash_multicast::{
    Announcement, Assembled, Assembly, Counters, LeaveReason, Receiver, ReceiverEvent, Report,
};
use bootstash_net::api::{CallError, Client, ReportReply, routes};
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::FuturesUnordered;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, timeout};

/// Without progress for this long, neither by multicast nor by unicast, it is given up.
const STALL_TIMEOUT: Duration = Duration::from_secs(120);
/// While a report is under way.
const TIMER_INTERVAL: Duration = Duration::from_millis(50);
/// A report that takes longer is out of date.
const REPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// The last one only spares the registrar waiting.
const FINAL_REPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// One session, on this node.
pub(super) struct ReceiveSession {
    registrar: Client,
    file: String,
    receiver: Receiver,
    socket: ReceiverSocket,
    partial: PartialFile,
    reporting: Option<BoxFuture<'static, Result<ReportReply, CallError>>>,
    fetching: FuturesUnordered<BoxFuture<'static, Result<Pieces, MulticastError>>>,
    job: Option<JoinHandle<JobResult>>,
    to_assemble: VecDeque<Assembly>,
    to_write: VecDeque<(u64, Vec<u8>)>,
    left: Option<LeaveReason>,
    whole: bool,
    progress_at: Instant,
}

/// What was done on another thread.
enum JobResult {
    Assembled(Assembled),
    Written(io::Result<(u64, u64)>),
}

impl ReceiveSession {
    pub(super) fn new(
        registrar: Client,
        file: &str,
        announcement: Announcement,
        socket: ReceiverSocket,
        partial: PartialFile,
    ) -> Self {
        let now = Instant::now();
        Self {
            registrar,
            file: file.to_owned(),
            receiver: Receiver::new(Arc::new(announcement), fastrand::f64(), now),
            socket,
            partial,
            reporting: None,
            fetching: FuturesUnordered::new(),
            job: None,
            to_assemble: VecDeque::new(),
            to_write: VecDeque::new(),
            left: None,
            whole: false,
            progress_at: now,
        }
    }

    /// Receives, until all is in the file.
    pub(super) async fn run(&mut self) -> Result<(), MulticastError> {
        while !self.is_written() {
            self.step().await?;
        }
        self.partial.finish()?;
        self.report_completion().await;
        Ok(())
    }

    pub(super) fn left(&self) -> Option<LeaveReason> {
        self.left
    }

    pub(super) fn counters(&self) -> &Counters {
        self.receiver.counters()
    }

    pub(super) fn dropped(&self) -> Option<u64> {
        self.socket.dropped()
    }

    pub(super) fn into_partial_file(self) -> PartialFile {
        self.partial
    }

    fn is_written(&self) -> bool {
        self.whole && self.to_write.is_empty() && self.job.is_none()
    }

    async fn step(&mut self) -> Result<(), MulticastError> {
        self.settle()?;
        let wake = self.wake_at();
        let receiver = &mut self.receiver;
        tokio::select! {
            received = self.socket.receive(|datagram| {
                // What is refused is counted.
                let _ = receiver.handle_datagram(Instant::now(), datagram);
            }) => {
                received.map_err(MulticastError::Receive)
            }
            job_done = pending_or(&mut self.job) => self.job_done(job_done),
            replied = pending_or(&mut self.reporting) => self.replied(replied),
            Some(fetched) = self.fetching.next() => self.fetched(fetched),
            () = sleep_until(wake.into()) => self.check_timers(),
        }
    }

    /// A report that is due while another is under way has to wait; until then the clock says nothing new.
    fn wake_at(&self) -> Instant {
        let stalled = self.progress_at + STALL_TIMEOUT;
        let due = self.receiver.poll_timeout().unwrap_or(stalled);
        let not_before = self.reporting.as_ref().map(|_| Instant::now() + TIMER_INTERVAL);
        not_before.map_or(due, |not_before| due.max(not_before)).min(stalled)
    }

    /// Does what the receiver wants done.
    fn settle(&mut self) -> Result<(), MulticastError> {
        while let Some(event) = self.receiver.poll_event() {
            match event {
                ReceiverEvent::Assemble(assembly) => self.to_assemble.push_back(assembly),
                ReceiverEvent::Block { offset, bytes } => self.to_write.push_back((offset, bytes)),
                ReceiverEvent::Fetch(ranges) => {
                    let fetch = pieces::fetch(self.registrar.clone(), self.file.clone(), ranges);
                    self.fetching.push(fetch.boxed());
                }
                ReceiverEvent::Left(why) => self.left = Some(why),
                ReceiverEvent::Failed { block } => {
                    return Err(MulticastError::Damaged { block, file: self.file.clone() });
                }
                ReceiverEvent::Done => self.whole = true,
            }
        }
        self.work();
        self.report();
        Ok(())
    }

    /// One thing at a time, and writing first: what is restored waits for room.
    fn work(&mut self) {
        if self.job.is_some() {
            return;
        }
        if let Some((offset, bytes)) = self.to_write.pop_front() {
            let write = self.partial.writer();
            self.job = Some(tokio::task::spawn_blocking(move || {
                JobResult::Written(write(offset, &bytes).map(|()| (offset, bytes.len() as u64)))
            }));
        } else if let Some(assembly) = self.to_assemble.pop_front() {
            self.job = Some(tokio::task::spawn_blocking(move || JobResult::Assembled(assembly.run())));
        }
    }

    fn job_done(
        &mut self,
        job_done: Result<JobResult, tokio::task::JoinError>,
    ) -> Result<(), MulticastError> {
        self.job = None;
        self.progress_at = Instant::now();
        match job_done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())) {
            JobResult::Assembled(assembled) => self.receiver.handle_assembled(Instant::now(), assembled),
            JobResult::Written(written) => {
                let (offset, bytes) = written.map_err(|source| self.partial.failed(source))?;
                self.partial.note(offset, bytes);
            }
        }
        Ok(())
    }

    /// One report at a time; the next says what this one would have.
    fn report(&mut self) {
        if self.reporting.is_none()
            && let Some(report) = self.receiver.poll_report(Instant::now())
        {
            self.reporting = Some(send(self.registrar.clone(), report, REPORT_TIMEOUT).boxed());
        }
    }

    fn replied(&mut self, replied: Result<ReportReply, CallError>) -> Result<(), MulticastError> {
        self.reporting = None;
        match replied {
            Ok(instructions) => {
                instructions.iter().for_each(|instruction| self.receiver.handle_instruction(instruction));
            }
            // A session that is over has no more heartbeats, which the receiver notices.
            Err(error) => tracing::debug!("a report on multicast was not accepted: {}", Chain(&error)),
        }
        Ok(())
    }

    fn fetched(&mut self, fetched: Result<Pieces, MulticastError>) -> Result<(), MulticastError> {
        self.progress_at = Instant::now();
        let mut pieces = fetched?.into_iter();
        pieces.try_for_each(|(offset, bytes)| Ok(self.receiver.handle_unicast(offset, &bytes)?))
    }

    fn check_timers(&mut self) -> Result<(), MulticastError> {
        let now = Instant::now();
        self.receiver.handle_timeout(now);
        if now < self.progress_at + STALL_TIMEOUT {
            return Ok(());
        }
        Err(MulticastError::Stalled { file: self.file.clone(), seconds: STALL_TIMEOUT.as_secs() })
    }

    async fn report_completion(&mut self) {
        if let Some(report) = self.receiver.poll_report(Instant::now()) {
            let _ = send(self.registrar.clone(), report, FINAL_REPORT_TIMEOUT).await;
        }
    }
}

async fn send(registrar: Client, report: Report, longest: Duration) -> Result<ReportReply, CallError> {
    match timeout(longest, registrar.post(routes::MULTICAST_REPORT, &report)).await {
        Ok(replied) => replied,
        Err(_) => Ok(Vec::new()),
    }
}

/// The future's output; pending for ever where there is none.
async fn pending_or<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
