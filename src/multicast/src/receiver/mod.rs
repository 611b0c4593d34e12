//! The receiver: takes datagrams, says what it lacks, gives out blocks.
//!
//! Each part of its state has an owner: [`Blocks`] what came of each block, [`Fetches`] what is fetched by unicast,
//! [`SenderView`] how far the sender is, [`Reports`] when to report and what part of the symbols came, [`Keys`] what
//! datagrams are opened with. The receiver itself asks one what another must know.

mod assembling;
mod blocks;
mod event;
mod fetches;
mod keys;
mod reports;
mod sender_view;
mod unicast;

pub use self::event::{Counters, LeaveReason, ReceiverEvent, UnicastError};

use self::blocks::{Added, Blocks};
use self::fetches::Fetches;
use self::keys::Keys;
use self::reports::Reports;
use self::sender_view::SenderView;
use super::report::{DEFICITS_MAX, Instruction, ReceiverStatus, Report};
use super::session::Announcement;
use super::wire::{Heartbeat, Opened, Position, Rejected, UnverifiedHeader};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// All that a receiver holds, with the working memory of one assembly.
pub const HELD_BYTES_MAX: usize = 32_000_000;

/// The receiving side of one session, as a state machine without I/O.
///
/// To be called, in any order, by the program that owns the socket and the clock:
///
/// - [`handle_datagram`](Self::handle_datagram) with each datagram that the group's socket receives;
/// - [`poll_event`](Self::poll_event) until it gives none, after any other call: blocks to be kept, assemblies to be
///   run beside and handed back by [`handle_assembled`](Self::handle_assembled), ranges to be fetched and handed back
///   by [`handle_unicast`](Self::handle_unicast);
/// - [`poll_report`](Self::poll_report) and [`handle_timeout`](Self::handle_timeout) at the time that
///   [`poll_timeout`](Self::poll_timeout) gives, which is to be asked again after any other call. A report goes to the
///   sender over a channel that authenticates it; each instruction of the reply to
///   [`handle_instruction`](Self::handle_instruction).
///
/// Time is an argument: it must not go backwards, and nothing here waits or reads a clock.
///
/// Promises: it gives out each block once, and only bytes that were announced; it holds at most
/// [`HELD_BYTES_MAX`]. Two blocks that turn out wrong and no new key for two seconds, or as long without a heartbeat,
/// and it continues by unicast alone. After [`ReceiverEvent::Done`] one report is due, the last.
pub struct Receiver {
    /// The first; later ones differ in name and key alone.
    announcement: Arc<Announcement>,
    status: ReceiverStatus,
    keys: Keys,
    blocks: Blocks,
    fetches: Fetches,
    sender: SenderView,
    reports: Reports,
    counters: Counters,
    events: VecDeque<ReceiverEvent>,
}

impl Receiver {
    /// Begins to listen. `jitter` (0 to 1), different on each node, keeps reports apart.
    pub fn new(announcement: Arc<Announcement>, jitter: f64, now: Instant) -> Self {
        Self {
            status: ReceiverStatus::Listening,
            keys: Keys::new(&announcement),
            blocks: Blocks::new(*announcement.layout()),
            fetches: Fetches::default(),
            sender: SenderView::new(now),
            reports: Reports::new(announcement.report_interval(), jitter, now),
            counters: Counters::default(),
            events: VecDeque::new(),
            announcement,
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
        self.blocks.held_bytes()
    }

    /// When to call [`Self::handle_timeout`] and [`Self::poll_report`] at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let leave = [Some(self.sender.timeout_at()), self.keys.leave_at()];
        let leave = (self.status == ReceiverStatus::Listening).then_some(leave);
        leave.into_iter().flatten().chain([self.reports.due_at()]).flatten().min()
    }

    /// Does what time alone calls for.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.status != ReceiverStatus::Listening {
            return;
        }
        if self.keys.leave_at().is_some_and(|at| now >= at) {
            self.leave(now, LeaveReason::KeyCompromised);
        } else if now >= self.sender.timeout_at() {
            self.leave(now, LeaveReason::HeartbeatTimeout);
        }
    }

    /// Processes a datagram; its bytes are decrypted in place.
    ///
    /// # Errors
    /// Where it is rejected, which is counted and has no other effect.
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

    /// Does what the sender says.
    pub fn handle_instruction(&mut self, instruction: &Instruction) {
        match instruction {
            Instruction::Fetch(blocks) => blocks.iter().for_each(|block| self.fetch(*block)),
            Instruction::FetchAll => {
                self.fetches.set_all();
                self.fetch_sent();
            }
            Instruction::Rekey(announcement) => {
                self.counters.wrong_keys += u64::from(self.rekey(announcement).is_err());
            }
        }
        self.start_fetches();
    }

    /// A report, when one is due.
    pub fn poll_report(&mut self, now: Instant) -> Option<Report> {
        if !self.reports.take_due(now) {
            return None;
        }
        let report = Report {
            session: self.keys.session(),
            next_session: self.keys.next_session(),
            status: self.status,
            heartbeat: None,
            expected: 0,
            received: 0,
            deficits: Vec::new(),
        };
        if self.keys.leave_at().is_some() && self.status == ReceiverStatus::Listening {
            // Nothing but that: the rest may be what a forger made of it.
            return Some(Report { status: ReceiverStatus::AwaitingKey, ..report });
        }
        let reception = self.reports.take_reception();
        let lacks = self.status == ReceiverStatus::Listening && !self.fetches.are_all();
        let deficits = lacks.then(|| self.blocks.deficits(self.sender.blocks_sent()).take(DEFICITS_MAX));
        Some(Report {
            heartbeat: self.sender.heartbeat(),
            expected: reception.expected,
            received: reception.received,
            deficits: deficits.into_iter().flatten().collect(),
            ..report
        })
    }

    fn take(&mut self, now: Instant, datagram: &mut [u8]) -> Result<(), Rejected> {
        let listens = !matches!(self.status, ReceiverStatus::Done | ReceiverStatus::KeyCompromised);
        let (opener, is_next) = self.keys.opener(datagram);
        let opener = opener.filter(|_| listens).ok_or(Rejected::Session)?;
        let opened = opener.read(datagram, |header| match header {
            UnverifiedHeader::Heartbeat(number) => !is_next && self.sender.has(*number),
            UnverifiedHeader::Symbol(at) => self.blocks.has(*at),
        })?;
        if is_next {
            self.switch_key();
        }
        match opened {
            Opened::Heartbeat(heartbeat) => self.take_heartbeat(now, &heartbeat),
            Opened::Symbol(at, symbol) => self.take_symbol(at, symbol),
        }
        Ok(())
    }

    fn take_symbol(&mut self, at: Position, symbol: &[u8]) {
        self.reports.count_symbol();
        if at.index < self.announcement.layout().source_symbols(at.block) && self.keys.take_place_unsure() {
            // What is held of blocks that the sender did not come to yet is a forger's.
            self.blocks.drop_old_key_after(at.block);
        }
        match self.blocks.add_symbol(at, symbol) {
            Added::Kept => self.assemble_if_enough(at.block),
            Added::NoRoom => self.counters.without_room += 1,
            Added::Unneeded => {}
        }
    }

    fn take_heartbeat(&mut self, now: Instant, heartbeat: &Heartbeat) {
        let first = self.sender.update(now, heartbeat, self.announcement.layout().blocks());
        self.reports.count_heartbeat(heartbeat, first.of_key);
        if first.of_all {
            // What was sent before this node joined is not repaired for all.
            let unseen = self.blocks.without_symbols(self.sender.blocks_sent());
            unseen.into_iter().for_each(|block| self.fetch(block));
        }
        self.fetch_sent();
        self.start_fetches();
        if !self.fetches.are_all() && self.status == ReceiverStatus::Listening {
            self.reports.schedule(now);
        }
    }

    fn leave(&mut self, now: Instant, why: LeaveReason) {
        self.status = match why {
            LeaveReason::HeartbeatTimeout => ReceiverStatus::HeartbeatTimeout,
            LeaveReason::KeyCompromised => ReceiverStatus::KeyCompromised,
        };
        self.fetches.set_all();
        self.sender.set_all_sent(self.announcement.layout().blocks());
        self.reports.hurry(now);
        self.events.push_back(ReceiverEvent::Left(why));
        self.fetch_sent();
        self.start_fetches();
    }
}
