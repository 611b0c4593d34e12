//! What is fetched by unicast, a few blocks at a time, and what came of it.

use super::Receiver;
use super::blocks::{BlockState, Phase};
use super::event::{ReceiverEvent, UnicastError};
use crate::assembly::PartialBlock;
use crate::wire::Position;

/// Blocks that are fetched by unicast at a time; multicast leaves them room.
pub(super) const WANTED_AT_ONCE: usize = 3;

impl Receiver {
    /// Takes bytes of the object that came by unicast: whole symbols of one block.
    ///
    /// # Errors
    /// Where they are not.
    pub fn handle_unicast(&mut self, offset: u64, bytes: &[u8]) -> Result<(), UnicastError> {
        let at = self.unicast_position(offset, bytes.len() as u64)?;
        let symbol = self.announcement.layout().symbol_bytes();
        if let Some(BlockState { phase: Phase::Open(open), .. }) = self.blocks.get_mut(at.block as usize) {
            self.counters.unicast_bytes += bytes.len() as u64;
            (at.index..).zip(bytes.chunks(symbol)).for_each(|(index, symbol)| open.add_source(index, symbol));
            self.assemble_if_enough(at.block);
        }
        Ok(())
    }

    /// What went by before this node came is not the others' business.
    pub(super) fn fetch_what_passed_before(&mut self) {
        let passed = (0..self.passed).zip(&self.blocks);
        let unseen: Vec<u32> =
            passed.filter(|(_, state)| state.seen.is_none()).map(|(block, _)| block).collect();
        unseen.into_iter().for_each(|block| self.fetch(block));
    }

    pub(super) fn fetch_passed(&mut self) {
        if self.fetch_all {
            (self.fetched_to..self.passed).for_each(|block| self.fetch(block));
            self.fetched_to = self.passed;
        }
    }

    pub(super) fn fetch(&mut self, block: u32) {
        let Some(state) = self.blocks.get_mut(block as usize) else { return };
        let lacking = matches!(state.phase, Phase::Empty | Phase::Open(_));
        state.by_unicast = true;
        if lacking && !state.wanted {
            self.to_want.insert(block);
        }
    }

    /// Asks for the oldest blocks that are to be fetched, a few at a time.
    pub(super) fn want(&mut self) {
        while self.wanted < WANTED_AT_ONCE && self.open < self.slots {
            let Some(block) = self.to_want.pop_first() else { return };
            let layout = *self.announcement.layout();
            let Some(state) = self.blocks.get_mut(block as usize) else { continue };
            if matches!(state.phase, Phase::Empty) {
                state.phase = Phase::Open(PartialBlock::new(&layout, block));
                self.open += 1;
            }
            let Phase::Open(open) = &state.phase else { continue };
            state.wanted = true;
            self.wanted += 1;
            let (start, symbol) = (layout.range(block).start, layout.symbol_bytes() as u64);
            let byte = |index: u16| (start + u64::from(index) * symbol).min(layout.length());
            let ranges = open.wanted().into_iter().map(|range| byte(range.start)..byte(range.end));
            self.events.push_back(ReceiverEvent::Fetch(ranges.collect()));
        }
    }

    fn unicast_position(&self, offset: u64, length: u64) -> Result<Position, UnicastError> {
        let layout = self.announcement.layout();
        let refused = UnicastError { offset, length };
        let block = u32::try_from(offset / layout.block_bytes()).unwrap_or(u32::MAX);
        let (range, symbol) = (layout.range(block), layout.symbol_bytes() as u64);
        let end = offset.saturating_add(length);
        let whole = |byte: u64| (byte - range.start).is_multiple_of(symbol) || byte == range.end;
        if length == 0 || !range.contains(&offset) || end > range.end || !whole(end) {
            return Err(refused);
        }
        let index = (offset - range.start) / symbol;
        if !(offset - range.start).is_multiple_of(symbol) {
            Err(refused)
        } else {
            Ok(Position { block, index: index as u16 })
        }
    }
}
