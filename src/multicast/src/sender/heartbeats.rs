//! The sender's heartbeats: when the next is due, and what it says.

use crate::wire::Heartbeat;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Heartbeats {
    interval: Duration,
    due_at: Instant,
    last: Option<Heartbeat>,
    /// Blocks whose source symbols had all been sent at the last heartbeat.
    blocks_sent: u32,
}

impl Heartbeats {
    /// The first is due now.
    pub(super) fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, due_at: now, last: None, blocks_sent: 0 }
    }

    pub(super) fn due_at(&self) -> Instant {
        self.due_at
    }

    /// The next is due now, however long ago the last was.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.due_at = now;
    }

    pub(super) fn last(&self) -> Option<&Heartbeat> {
        self.last.as_ref()
    }

    pub(super) fn next_number(&self) -> u32 {
        self.last.map_or(0, |heartbeat| heartbeat.number + 1)
    }

    /// Blocks that the last heartbeat announced as sent, or the next will.
    pub(super) fn blocks_sent(&self) -> u32 {
        self.blocks_sent
    }

    /// From the next heartbeat on at least this number of blocks is announced as sent.
    pub(super) fn announce_sent(&mut self, blocks: u32) {
        self.blocks_sent = self.blocks_sent.max(blocks);
    }

    /// The one that goes out now.
    pub(super) fn next(&mut self, now: Instant, blocks_sent: u32, symbols_sent: u64) -> Heartbeat {
        let heartbeat = Heartbeat { number: self.next_number(), blocks_sent: self.blocks_sent, symbols_sent };
        self.last = Some(heartbeat);
        self.announce_sent(blocks_sent);
        self.due_at = now + self.interval;
        heartbeat
    }
}
