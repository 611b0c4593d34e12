//! The receiver: takes datagrams, says what it lacks, gives out blocks.
//!
//! Promises: it gives out each block once, and only bytes that were announced; it holds at most
//! [`HELD_BYTES_MAX`]. Two blocks that turn out wrong and no new key for two seconds, or as long without a heartbeat,
//! and it goes on by unicast alone.

mod blocks;
mod event;
mod fetching;
mod keys;
mod reporting;

use self::blocks::{BlockState, Phase, is_seen};
pub use self::event::{Counters, LeaveReason, ReceiverEvent, UnicastError};
use self::keys::Keys;
use super::report::{Instruction, ReceiverStatus};
use super::session::Announcement;
use super::wire::{Heartbeat, Opened, Rejected, UnverifiedHeader};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// All that a receiver holds, with the working memory of one assembly.
pub const HELD_BYTES_MAX: usize = 32_000_000;
/// Switches that drop a group do so without an error.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(2);

/// The machine.
pub struct Receiver {
    /// The first; later ones differ in name and key alone.
    announcement: Arc<Announcement>,
    keys: Keys,
    blocks: Vec<BlockState>,
    open: usize,
    slots: usize,
    done: u32,
    wanted: usize,
    to_want: BTreeSet<u32>,
    status: ReceiverStatus,
    fetch_all: bool,
    fetched_to: u32,
    passed: u32,
    /// The last one, under the key in use.
    heartbeat: Option<u32>,
    /// It heard a heartbeat.
    joined: bool,
    /// Sent by the sender, heard here: now, at the last heartbeat, and as reported.
    received: u64,
    at_heartbeat: (u64, u64),
    reported: (u64, u64),
    report_at: Option<Instant>,
    last_report: Instant,
    jitter: f64,
    heartbeat_timeout_at: Instant,
    counters: Counters,
    events: VecDeque<ReceiverEvent>,
}

impl Receiver {
    /// Begins to listen. `spread` (0 to 1), different on each node, keeps reports apart.
    pub fn new(announcement: Arc<Announcement>, spread: f64, now: Instant) -> Self {
        let slots = blocks::slots(announcement.layout());
        let blocks = (0..announcement.layout().blocks()).map(|_| BlockState::default()).collect();
        Self {
            keys: Keys::new(&announcement),
            announcement,
            blocks,
            open: 0,
            slots,
            done: 0,
            wanted: 0,
            to_want: BTreeSet::new(),
            status: ReceiverStatus::Listening,
            fetch_all: false,
            fetched_to: 0,
            passed: 0,
            heartbeat: None,
            joined: false,
            received: 0,
            at_heartbeat: (0, 0),
            reported: (0, 0),
            report_at: None,
            last_report: now,
            jitter: spread.clamp(0.0, 1.0),
            heartbeat_timeout_at: now + HEARTBEAT_TIMEOUT,
            counters: Counters::default(),
            events: VecDeque::new(),
        }
    }

    /// What to do next.
    pub fn poll_event(&mut self) -> Option<ReceiverEvent> {
        self.events.pop_front()
    }

    /// What came so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Bytes of blocks that are not whole yet.
    pub fn held_bytes(&self) -> usize {
        let open = self.blocks.iter().map(|block| match &block.phase {
            Phase::Open(open) => open.held_bytes(),
            _ => 0,
        });
        open.sum()
    }

    /// When to call [`Self::handle_timeout`] and [`Self::poll_report`] at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let leave = (self.status == ReceiverStatus::Listening)
            .then_some([Some(self.heartbeat_timeout_at), self.keys.leave_at]);
        leave.into_iter().flatten().chain([self.report_at]).flatten().min()
    }

    /// Does what time alone calls for.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.status != ReceiverStatus::Listening {
            return;
        }
        if self.keys.leave_at.is_some_and(|at| now >= at) {
            self.leave(now, LeaveReason::KeyCompromised);
        } else if now >= self.heartbeat_timeout_at {
            self.leave(now, LeaveReason::HeartbeatTimeout);
        }
    }

    /// Takes a datagram; its bytes are deciphered in place.
    ///
    /// # Errors
    /// Where it is of no use; it is counted, and that is all.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &mut [u8]) -> Result<(), Rejected> {
        let taken = self.take(now, datagram);
        match taken {
            Ok(()) => self.counters.taken += 1,
            Err(Rejected::Length) => self.counters.wrong_length += 1,
            Err(Rejected::Session) => self.counters.wrong_session += 1,
            Err(Rejected::Position) => self.counters.wrong_position += 1,
            Err(Rejected::Held) => self.counters.held += 1,
            Err(Rejected::Seal) => self.counters.wrong_seal += 1,
        }
        taken
    }

    /// Takes what the sender says.
    pub fn handle_instruction(&mut self, instruction: &Instruction) {
        match instruction {
            Instruction::Fetch(blocks) => blocks.iter().for_each(|block| self.fetch(*block)),
            Instruction::FetchAll => {
                self.fetch_all = true;
                self.fetch_passed();
            }
            Instruction::Rekey(announcement) => {
                self.counters.wrong_keys += u64::from(self.rekey(announcement).is_err());
            }
        }
        self.want();
    }

    fn take(&mut self, now: Instant, datagram: &mut [u8]) -> Result<(), Rejected> {
        let listens = !matches!(self.status, ReceiverStatus::Done | ReceiverStatus::KeyCompromised);
        let (opener, is_next) = self.keys.opener(datagram);
        let opener = opener.filter(|_| listens).ok_or(Rejected::Session)?;
        let opened = opener.read(datagram, |claim| match claim {
            UnverifiedHeader::Heartbeat(number) => {
                !is_next && self.heartbeat.is_some_and(|heartbeat| heartbeat >= *number)
            }
            UnverifiedHeader::Symbol(at) => is_seen(&self.blocks, *at),
        })?;
        if is_next {
            self.switch_key();
        }
        match opened {
            Opened::Heartbeat(heartbeat) => self.hear(now, &heartbeat),
            Opened::Symbol(at, symbol) => self.take_symbol(at, symbol),
        }
        Ok(())
    }

    fn hear(&mut self, now: Instant, heartbeat: &Heartbeat) {
        let first = self.heartbeat.is_none();
        self.heartbeat = Some(heartbeat.number);
        self.passed = self.passed.max(heartbeat.blocks_sent.min(self.announcement.layout().blocks()));
        let sent =
            if first { heartbeat.symbols_sent } else { heartbeat.symbols_sent.max(self.at_heartbeat.0) };
        self.at_heartbeat = (sent, self.received);
        self.heartbeat_timeout_at = now + HEARTBEAT_TIMEOUT;
        if first {
            self.reported = self.at_heartbeat;
        }
        if !std::mem::replace(&mut self.joined, true) {
            self.fetch_what_passed_before();
        }
        self.fetch_passed();
        self.want();
        if self.report_at.is_none() && !self.fetch_all && self.status == ReceiverStatus::Listening {
            let every = self.announcement.report_interval();
            self.report_at = Some((self.last_report + every).max(now) + every.mul_f64(self.jitter / 4.0));
        }
    }

    fn leave(&mut self, now: Instant, why: LeaveReason) {
        self.status = match why {
            LeaveReason::HeartbeatTimeout => ReceiverStatus::HeartbeatTimeout,
            LeaveReason::KeyCompromised => ReceiverStatus::KeyCompromised,
        };
        self.fetch_all = true;
        self.passed = self.announcement.layout().blocks();
        self.report_at = Some(now);
        self.events.push_back(ReceiverEvent::Left(why));
        self.fetch_passed();
        self.want();
    }
}
