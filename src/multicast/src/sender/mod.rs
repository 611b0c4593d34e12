//! The sender: source symbols once, at a rate; between them repair for the block that somebody lacks most of.
//!
//! Each part of its state has an owner: [`Schedule`] which symbol is next, [`Pacer`] when it may go out,
//! [`Heartbeats`] what is announced of it, [`Members`] which nodes are waited for, [`Keys`] what is sealed with, and
//! [`Phase`] whether it is over. The sender itself asks one what another must know.

mod ending;
mod event;
mod figures;
mod heartbeats;
mod keys;
mod pacer;
mod reports;
mod schedule;

pub use event::{SenderEvent, Transmit};

use self::ending::Phase;
use self::heartbeats::Heartbeats;
use self::keys::Keys;
use self::pacer::Pacer;
use self::schedule::Schedule;
use super::members::{Demotion, Members};
use super::rate::RateLimits;
use super::session::Announcement;
use super::wire::{HEADER_BYTES, Heartbeat, Position};
use bootstash_base::names::NodeName;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Ethernet, IPv4 and UDP around a datagram, and its seal.
const AROUND_BYTES: usize = 14 + 20 + 8 + 16;

/// The sending side of one session, as a state machine without I/O.
///
/// To be called, in any order, by the program that owns the socket and the clock:
///
/// - [`poll_transmit`](Self::poll_transmit) until it gives none: each [`Transmit`] is made into a datagram by
///   [`Packer::pack`](crate::Packer::pack) and sent to the group;
/// - [`poll_event`](Self::poll_event) until it gives none, after any other call;
/// - [`handle_report`](Self::handle_report) with each report of a node, which comes over a channel that
///   authenticates it; instructions for the node, which events name, go back with the reply;
/// - [`handle_timeout`](Self::handle_timeout), or `poll_transmit`, at the time that
///   [`poll_timeout`](Self::poll_timeout) gives, which is to be asked again after any other call;
/// - [`rekey`](Self::rekey) where an event asks for a key.
///
/// Time is an argument: it must not go backwards, and nothing here waits or reads a clock.
///
/// Promises: no symbol is sent twice; repair of a block never exceeds what the session announced; once
/// all source symbols are out, the session ends when nobody who is waited for lacks anything, or ten seconds
/// after the last symbol; whoever is sent to unicast then receives heartbeats until it has reported once more. After
/// [`SenderEvent::Finished`], which comes once, nothing is due any more.
#[derive(Debug)]
pub struct Sender {
    report_interval: Duration,
    keys: Keys,
    members: Members,
    schedule: Schedule,
    pacer: Pacer,
    heartbeats: Heartbeats,
    phase: Phase,
    events: VecDeque<SenderEvent>,
}

impl Sender {
    /// Starts at `now`, for these nodes.
    pub fn new(
        announcement: &Announcement,
        limits: RateLimits,
        nodes: impl IntoIterator<Item = NodeName>,
        now: Instant,
    ) -> Self {
        let report_interval = announcement.report_interval();
        let mut members = Members::default();
        nodes.into_iter().for_each(|node| members.add(now, node, false));
        Self {
            report_interval,
            keys: Keys::new(announcement.session()),
            members,
            schedule: Schedule::new(*announcement.layout(), now),
            pacer: Pacer::new(limits, report_interval, now),
            heartbeats: Heartbeats::new(announcement.heartbeat_interval(), now),
            phase: Phase::Sending,
            events: VecDeque::new(),
        }
    }

    /// Adds a node; what was sent before it gets by unicast. It must be given the latest announcement, even if that
    /// is not in use yet.
    pub fn add_node(&mut self, now: Instant, node: NodeName) {
        self.members.add(now, node, self.keys.is_rotating());
    }

    /// What to do next.
    pub fn poll_event(&mut self) -> Option<SenderEvent> {
        self.events.pop_front()
    }

    /// When to call again at the latest; none once it is over.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timers = [Some(self.heartbeats.due_at()), Some(self.pacer.poll_timeout()), self.keys.timeout()];
        if self.phase == Phase::Finished { None } else { timers.into_iter().flatten().min() }
    }

    /// What to send next; none if nothing is due yet.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        self.handle_timeout(now);
        if self.phase == Phase::Finished {
            return None;
        }
        if now >= self.heartbeats.due_at() {
            return Some(Transmit::Heartbeat(self.heartbeat(now)));
        }
        if self.is_ending() {
            return None;
        }
        self.symbol(now).map(Transmit::Symbol)
    }

    /// Does what time alone calls for.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.settle_key(now);
        if self.phase == Phase::Finished || !self.pacer.is_judgement_due(now) {
            return;
        }
        self.pacer.judge(now, &mut self.members.losses());
        self.demote_all(&self.members.names(|member| member.is_silent(now)), Demotion::ReportTimeout);
        if !self.is_ending() {
            self.judge_outliers(now);
        }
        self.pacer.refill(now);
        self.finish_if_over(now);
    }

    fn heartbeat(&mut self, now: Instant) -> Heartbeat {
        self.heartbeats.next(now, self.schedule.blocks_sent(), self.schedule.sent())
    }

    fn symbol(&mut self, now: Instant) -> Option<Position> {
        self.pacer.clear();
        let at = self.schedule.next()?;
        let bytes = HEADER_BYTES + self.schedule.layout().symbol_bytes() + AROUND_BYTES;
        if !self.pacer.take(now, bytes) {
            return None;
        }
        self.schedule.advance(now, at, self.heartbeats.next_number());
        Some(at)
    }
}
