//! Fetching by unicast: what is asked for, and what came of it.

use super::Receiver;
use super::event::{ReceiverEvent, UnicastError};
use crate::wire::Position;

impl Receiver {
    /// Takes bytes of the object that came by unicast: whole symbols of one block.
    ///
    /// # Errors
    /// Where they are not.
    pub fn handle_unicast(&mut self, offset: u64, bytes: &[u8]) -> Result<(), UnicastError> {
        let at = self.unicast_position(offset, bytes.len() as u64)?;
        if self.blocks.add_fetched(at, bytes) {
            self.counters.unicast_bytes += bytes.len() as u64;
            self.assemble_if_enough(at.block);
        }
        Ok(())
    }

    /// Where everything is to be fetched: what was sent since.
    pub(super) fn fetch_sent(&mut self) {
        self.fetches.advance(self.sender.blocks_sent()).for_each(|block| self.fetch(block));
    }

    pub(super) fn fetch(&mut self, block: u32) {
        if self.blocks.set_unicast(block) {
            self.fetches.push(block);
        }
    }

    /// Asks for the oldest blocks that are to be fetched, a few at a time.
    pub(super) fn start_fetches(&mut self) {
        while self.blocks.has_room() {
            let Some(block) = self.fetches.pop() else { return };
            let Some(missing) = self.blocks.begin_fetch(block) else { continue };
            self.fetches.started();
            let layout = self.announcement.layout();
            let (start, symbol) = (layout.range(block).start, layout.symbol_bytes() as u64);
            let byte = |index: u16| (start + u64::from(index) * symbol).min(layout.length());
            let ranges = missing.into_iter().map(|range| byte(range.start)..byte(range.end));
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
