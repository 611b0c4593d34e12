//! The sender: source symbols once, at a rate; between them repair for the block that somebody lacks most of.
//!
//! Promises: no symbol is asked for twice; repair of a block never exceeds what the session announced; once
//! all source symbols are out, the session ends when nobody who is waited for lacks anything, or ten seconds
//! after the last symbol; whoever is sent to unicast then hears heartbeats until it has reported once more.

mod ending;
mod event;
mod figures;
mod keys;
mod reports;

pub use event::{SenderEvent, Transmit};

use self::keys::Keys;
use super::block_layout::BlockLayout;
use super::members::{Demotion, Members};
use super::rate::{Rate, RateLimits};
use super::session::Announcement;
use super::token_bucket::TokenBucket;
use super::wire::{HEADER_BYTES, Heartbeat, Position};
use bootstash_base::names::NodeName;
use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// Ethernet, IPv4 and UDP around a datagram, and its seal.
const AROUND_BYTES: usize = 14 + 20 + 8 + 16;

#[derive(Clone, Copy, Debug, Default)]
struct Repair {
    sent: u16,
    target: u16,
    /// The number of the heartbeat that followed the last symbol of the block.
    next_heartbeat: u32,
}

/// The machine.
#[derive(Debug)]
pub struct Sender {
    keys: Keys,
    layout: BlockLayout,
    heartbeat_interval: Duration,
    report_interval: Duration,
    bucket: TokenBucket,
    rate: Rate,
    members: Members,
    blocks: Vec<Repair>,
    /// The blocks whose target is above what was sent.
    due: BTreeSet<u32>,
    cursor: Position,
    sent: u64,
    /// Of these, repair.
    repair_sent: u64,
    /// Blocks the cursor had passed at the last heartbeat.
    passed: u32,
    last_heartbeat: Option<Heartbeat>,
    heartbeat_at: Instant,
    judge_at: Instant,
    last_symbol_at: Instant,
    /// The number of the heartbeat that follows it.
    last_symbol_heartbeat: u32,
    ready_at: Option<Instant>,
    halved: bool,
    /// No symbols go out since then.
    ended_at: Option<Instant>,
    finished: bool,
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
        let (layout, rate) = (*announcement.layout(), Rate::new(limits));
        let mut sender = Self {
            keys: Keys::new(announcement.session()),
            layout,
            heartbeat_interval: announcement.heartbeat_interval(),
            report_interval: announcement.report_interval(),
            bucket: TokenBucket::new(rate.bytes_per_second(), now),
            rate,
            members: Members::default(),
            blocks: vec![Repair::default(); layout.blocks() as usize],
            due: BTreeSet::new(),
            cursor: Position { block: 0, index: 0 },
            sent: 0,
            repair_sent: 0,
            passed: 0,
            last_heartbeat: None,
            heartbeat_at: now,
            judge_at: now + announcement.report_interval(),
            last_symbol_at: now,
            last_symbol_heartbeat: 0,
            ready_at: None,
            halved: false,
            ended_at: None,
            finished: false,
            events: VecDeque::new(),
        };
        nodes.into_iter().for_each(|node| sender.members.add(now, node, false));
        sender
    }

    /// One more node; what has passed it gets by unicast. It is to be told of the latest announcement, also where
    /// that is not in use yet.
    pub fn add_node(&mut self, now: Instant, node: NodeName) {
        self.members.add(now, node, self.keys.is_rotating());
    }

    /// What to do next.
    pub fn poll_event(&mut self) -> Option<SenderEvent> {
        self.events.pop_front()
    }

    /// When to call again at the latest; none once it is over.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timers = [Some(self.heartbeat_at), Some(self.judge_at), self.ready_at, self.keys.timeout()];
        if self.finished { None } else { timers.into_iter().flatten().min() }
    }

    /// What to send next; none if nothing is due yet.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        self.handle_timeout(now);
        if self.finished {
            return None;
        }
        if now >= self.heartbeat_at {
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
        if self.finished || now < self.judge_at {
            return;
        }
        self.judge_at = now + self.report_interval;
        self.rate.judge(now, &mut self.members.losses());
        self.demote_all(&self.members.names(|member| member.is_silent(now)), Demotion::ReportTimeout);
        self.judge_outliers(now);
        self.bucket.set_rate(self.rate.bytes_per_second(), now);
        self.finish_if_over(now);
    }

    fn heartbeat(&mut self, now: Instant) -> Heartbeat {
        let number = self.next_heartbeat();
        let heartbeat = Heartbeat { number, passed: self.passed, sent: self.sent };
        self.last_heartbeat = Some(heartbeat);
        self.passed = self.passed.max(self.cursor.block);
        self.heartbeat_at = now + self.heartbeat_interval;
        heartbeat
    }

    fn next_heartbeat(&self) -> u32 {
        self.last_heartbeat.map_or(0, |heartbeat| heartbeat.number + 1)
    }

    fn symbol(&mut self, now: Instant) -> Option<Position> {
        self.ready_at = None;
        let at = self.next_repair().or_else(|| self.next_source())?;
        let bytes = HEADER_BYTES + self.layout.symbol_bytes() + AROUND_BYTES;
        if let Err(ready) = self.bucket.take(now, bytes) {
            self.ready_at = Some(ready);
            return None;
        }
        self.advance(at);
        self.last_symbol_at = now;
        Some(at)
    }

    fn next_repair(&self) -> Option<Position> {
        let block = *self.due.first()?;
        let sent = self.blocks.get(block as usize)?.sent;
        Some(Position { block, index: self.layout.source_symbols(block) + sent })
    }

    fn next_source(&self) -> Option<Position> {
        (!self.is_source_out()).then_some(self.cursor)
    }

    fn advance(&mut self, at: Position) {
        self.sent += 1;
        self.last_symbol_heartbeat = self.next_heartbeat();
        let (source, next_heartbeat) = (self.layout.source_symbols(at.block), self.next_heartbeat());
        let Some(block) = self.blocks.get_mut(at.block as usize) else { return };
        block.next_heartbeat = next_heartbeat;
        if at.index >= source {
            block.sent += 1;
            self.repair_sent += 1;
            if block.sent >= block.target {
                self.due.remove(&at.block);
            }
            return;
        }
        let last = at.index + 1 == source;
        self.cursor = if last {
            Position { block: at.block + 1, index: 0 }
        } else {
            Position { index: at.index + 1, ..at }
        };
    }
}
