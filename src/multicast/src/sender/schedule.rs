//! Which symbol is sent next: source symbols once, in order; before them repair that somebody asked for.
//!
//! Promises: no symbol is given out twice; repair of a block never exceeds what the session announced.

use crate::block_layout::BlockLayout;
use crate::report::Deficit;
use crate::wire::Position;
use std::collections::BTreeSet;
use std::time::Instant;

/// The repair of one block.
#[derive(Clone, Copy, Debug, Default)]
struct Repair {
    sent: u16,
    target: u16,
    /// The number of the heartbeat that followed the last symbol of the block.
    next_heartbeat: u32,
}

#[derive(Debug)]
pub(super) struct Schedule {
    layout: BlockLayout,
    blocks: Vec<Repair>,
    /// The blocks whose target is above what was sent.
    due: BTreeSet<u32>,
    /// The next source symbol.
    cursor: Position,
    sent: u64,
    /// Of these, repair.
    repair_sent: u64,
    last_symbol_at: Instant,
    /// The number of the heartbeat that follows it.
    last_symbol_heartbeat: u32,
}

/// Whether repair can give what a node lacks of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Requested {
    Repair,
    /// It is more than the session's repair still has.
    TooMuch,
}

impl Schedule {
    pub(super) fn new(layout: BlockLayout, now: Instant) -> Self {
        Self {
            layout,
            blocks: vec![Repair::default(); layout.blocks() as usize],
            due: BTreeSet::new(),
            cursor: Position { block: 0, index: 0 },
            sent: 0,
            repair_sent: 0,
            last_symbol_at: now,
            last_symbol_heartbeat: 0,
        }
    }

    pub(super) fn layout(&self) -> &BlockLayout {
        &self.layout
    }

    pub(super) fn next(&self) -> Option<Position> {
        self.next_repair().or_else(|| self.next_source())
    }

    /// This symbol, which was the next, goes out now; the heartbeat of this number follows.
    pub(super) fn advance(&mut self, now: Instant, at: Position, next_heartbeat: u32) {
        self.sent += 1;
        (self.last_symbol_at, self.last_symbol_heartbeat) = (now, next_heartbeat);
        let source = self.layout.source_symbols(at.block);
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

    /// Blocks, from the first, of which every source symbol was sent.
    pub(super) fn blocks_sent(&self) -> u32 {
        self.cursor.block
    }

    pub(super) fn is_source_out(&self) -> bool {
        self.cursor.block >= self.layout.blocks()
    }

    /// When the last symbol was sent, where none is due.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.is_source_out() && self.due.is_empty()).then_some(self.last_symbol_at)
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    pub(super) fn repair_sent(&self) -> u64 {
        self.repair_sent
    }

    pub(super) fn repair_sent_of(&self, block: u32) -> u16 {
        self.blocks.get(block as usize).map_or(0, |block| block.sent)
    }

    /// Whether who received this heartbeat has had everything of the block that was sent: the last symbol went out a
    /// whole heartbeat before it, so that one which comes late by less does not count as lost.
    pub(super) fn covers(&self, heartbeat: Option<u32>, block: u32) -> bool {
        let next = self.blocks.get(block as usize).map_or(0, |block| block.next_heartbeat);
        heartbeat.is_some_and(|heartbeat| heartbeat > next)
    }

    /// The same of all that was sent and is due.
    pub(super) fn covers_all(&self, heartbeat: Option<u32>) -> bool {
        let idle = self.is_source_out() && self.due.is_empty();
        idle && heartbeat.is_some_and(|heartbeat| heartbeat > self.last_symbol_heartbeat)
    }

    /// A node that received this heartbeat lacks symbols of a block.
    pub(super) fn request(&mut self, deficit: &Deficit, heartbeat: Option<u32>) -> Requested {
        let covered = self.covers(heartbeat, deficit.block);
        let Some(block) = self.blocks.get_mut(deficit.block as usize) else { return Requested::Repair };
        // Repair that is under way must not be asked for again.
        let has = if covered { block.sent } else { deficit.repair_seen };
        let target = has + deficit.missing;
        if target > self.layout.repair_symbols() {
            return Requested::TooMuch;
        }
        if target > block.target {
            block.target = target;
            if target > block.sent {
                self.due.insert(deficit.block);
            }
        }
        Requested::Repair
    }

    fn next_repair(&self) -> Option<Position> {
        let block = *self.due.first()?;
        let sent = self.blocks.get(block as usize)?.sent;
        Some(Position { block, index: self.layout.source_symbols(block) + sent })
    }

    fn next_source(&self) -> Option<Position> {
        (!self.is_source_out()).then_some(self.cursor)
    }
}
