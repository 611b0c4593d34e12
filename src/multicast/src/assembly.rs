//! A block that comes in, and what is made of it once enough is there.
//!
//! Promises: an assembly gives the announced bytes or says that they are not; it may run on any thread.

use super::bits::Bits;
use super::block_layout::BlockLayout;
use super::fec;
use super::session::{Announcement, SessionId};
use std::ops::Range;
use std::sync::Arc;

/// A block of which something is here.
#[derive(Debug)]
pub(super) struct PartialBlock {
    symbol_bytes: usize,
    padded: Vec<u8>,
    source: Bits,
    repair: Vec<(u16, Vec<u8>)>,
    /// Something of it came by multicast.
    by_multicast: bool,
}

impl PartialBlock {
    pub(super) fn new(layout: &BlockLayout, block: u32) -> Self {
        let (symbols, symbol_bytes) = (layout.source_symbols(block), layout.symbol_bytes());
        let padded = vec![0; usize::from(symbols) * symbol_bytes];
        Self { symbol_bytes, padded, source: Bits::new(symbols), repair: Vec::new(), by_multicast: false }
    }

    pub(super) fn add_multicast(&mut self, index: u16, symbol: &[u8]) {
        self.by_multicast = true;
        match index.checked_sub(self.source.length()) {
            None => self.add_source(index, symbol),
            Some(index) => self.repair.push((index, symbol.to_vec())),
        }
    }

    /// A symbol that is here stays as it is. The object's last may be short.
    pub(super) fn add_source(&mut self, index: u16, symbol: &[u8]) {
        if self.source.set(index) {
            let start = usize::from(index) * self.symbol_bytes;
            self.padded[start..start + symbol.len()].copy_from_slice(symbol);
        }
    }

    /// As many symbols, of whatever kind, are lacking.
    pub(super) fn missing(&self) -> u16 {
        let repair = u16::try_from(self.repair.len()).unwrap_or(u16::MAX);
        self.source.length().saturating_sub(self.source.count().saturating_add(repair))
    }

    /// Source symbols that would make it whole, by range.
    pub(super) fn missing_source(&self) -> Vec<Range<u16>> {
        let absent = (0..self.source.length()).filter(|index| !self.source.get(*index));
        let mut ranges: Vec<Range<u16>> = Vec::new();
        for index in absent.take(self.missing().into()) {
            match ranges.last_mut() {
                Some(last) if last.end == index => last.end += 1,
                _ => ranges.push(index..index + 1),
            }
        }
        ranges
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.padded.len() + self.repair.len() * self.symbol_bytes
    }
}

/// A block that can be made whole. To be run beside the thread that reads datagrams: it takes milliseconds.
pub struct Assembly {
    announcement: Arc<Announcement>,
    block: u32,
    from: PartialBlock,
}

/// What became of an [`Assembly`]; for [`super::Receiver::handle_assembled`].
pub struct Assembled {
    pub(super) session: SessionId,
    pub(super) block: u32,
    pub(super) by_multicast: bool,
    /// None where they are not the bytes that were announced.
    pub(super) bytes: Option<Vec<u8>>,
}

impl Assembly {
    pub(super) fn new(announcement: Arc<Announcement>, block: u32, from: PartialBlock) -> Self {
        Self { announcement, block, from }
    }

    /// Restores what is lacking, and compares with the hash that was announced.
    pub fn run(self) -> Assembled {
        let Self { announcement, block, from } = self;
        let (layout, mut bytes) = (announcement.layout(), from.padded);
        let restored = from.source.count() == from.source.length()
            || fec::decode(layout, block, &mut bytes, |index| from.source.get(index), &from.repair).is_ok();
        let range = layout.range(block);
        bytes.truncate((range.end - range.start) as usize);
        let bytes = (restored && announcement.is_block(block, &bytes)).then_some(bytes);
        Assembled { session: announcement.session(), block, by_multicast: from.by_multicast, bytes }
    }
}
