//! What is fetched by unicast: which blocks, a few at a time, and which were asked for already.

use std::collections::BTreeSet;
use std::ops::Range;

/// Blocks that are fetched by unicast at a time; multicast leaves them room.
pub(super) const FETCHES_AT_ONCE: usize = 3;

#[derive(Debug, Default)]
pub(super) struct Fetches {
    queue: BTreeSet<u32>,
    under_way: usize,
    /// Every block is to be fetched once it was sent.
    all: bool,
    /// Of those, the blocks below this were queued.
    queued_below: u32,
}

impl Fetches {
    /// From now on every block is fetched once it was sent.
    pub(super) fn set_all(&mut self) {
        self.all = true;
    }

    pub(super) fn are_all(&self) -> bool {
        self.all
    }

    /// Blocks that are to be fetched now that this number was sent; each is given once.
    pub(super) fn advance(&mut self, blocks_sent: u32) -> Range<u32> {
        let due = self.queued_below..blocks_sent;
        if !self.all {
            return 0..0;
        }
        self.queued_below = blocks_sent;
        due
    }

    pub(super) fn push(&mut self, block: u32) {
        self.queue.insert(block);
    }

    pub(super) fn remove(&mut self, block: u32) {
        self.queue.remove(&block);
    }

    /// The oldest that is to be fetched, if one more may be now.
    pub(super) fn pop(&mut self) -> Option<u32> {
        if self.under_way < FETCHES_AT_ONCE { self.queue.pop_first() } else { None }
    }

    pub(super) fn started(&mut self) {
        self.under_way += 1;
    }

    pub(super) fn ended(&mut self) {
        self.under_way -= 1;
    }
}
