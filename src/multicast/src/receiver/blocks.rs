//! The blocks of a receiver: what came of each, and how many may be open.

use super::HELD_BYTES_MAX;
use super::fetches::FETCHES_AT_ONCE;
use crate::assembly::PartialBlock;
use crate::bits::Bits;
use crate::block_layout::BlockLayout;
use crate::report::Deficit;
use crate::wire::Position;
use std::ops::Range;

const OPEN_MAX: usize = 64;
/// Beside the block itself an assembly works on a power of two of symbols: less than twice the block.
const ASSEMBLY_BLOCKS: usize = 2;
/// What it takes to hold one repair symbol, in a list that has room for twice as many.
const AROUND_REPAIR_BYTES: usize = 2 * size_of::<(u16, Vec<u8>)>();

#[derive(Default)]
enum Phase {
    #[default]
    Empty,
    Open(PartialBlock),
    Assembling,
    Done,
}

#[derive(Default)]
struct Block {
    phase: Phase,
    /// Which of its symbols came by multicast.
    received: Option<Bits>,
    /// One more than the highest repair symbol that came.
    repair_seen: u16,
    /// No repair comes for it any more.
    by_unicast: bool,
    /// It is being fetched.
    is_fetched: bool,
    /// It came wrong by multicast.
    bad: bool,
    /// Some of it came under a key that is no longer in use.
    of_old_key: bool,
}

/// What became of a symbol that came by multicast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    Kept,
    NoRoom,
    Unneeded,
}

/// What became of a block that was assembled.
pub(super) struct Closed {
    pub(super) was_fetched: bool,
}

/// A block was not what was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// It was forged under the key in use.
    Forged,
    /// Some of it came under the key before.
    PerhapsOfOldKey,
}

pub(super) struct Blocks {
    layout: BlockLayout,
    all: Vec<Block>,
    open: usize,
    open_max: usize,
    done: u32,
}

impl Blocks {
    pub(super) fn new(layout: BlockLayout) -> Self {
        let all = (0..layout.blocks()).map(|_| Block::default()).collect();
        Self { layout, all, open: 0, open_max: open_max(&layout), done: 0 }
    }

    pub(super) fn has(&self, at: Position) -> bool {
        let block = self.all.get(at.block as usize);
        block.and_then(|block| block.received.as_ref()).is_some_and(|received| received.get(at.index))
    }

    pub(super) fn has_room(&self) -> bool {
        self.open < self.open_max
    }

    pub(super) fn are_all_done(&self) -> bool {
        self.done == self.layout.blocks()
    }

    /// Bytes of blocks that are not whole yet.
    pub(super) fn held_bytes(&self) -> usize {
        let open = self.all.iter().map(|block| match &block.phase {
            Phase::Open(open) => open.held_bytes(),
            _ => 0,
        });
        open.sum()
    }

    /// Adds a symbol that came by multicast; leaves room to what is fetched.
    pub(super) fn add_symbol(&mut self, at: Position, symbol: &[u8]) -> Added {
        let room = self.open + FETCHES_AT_ONCE < self.open_max;
        let layout = self.layout;
        let Some(block) = self.all.get_mut(at.block as usize) else { return Added::Unneeded };
        block.received.get_or_insert_with(|| Bits::new(layout.symbols(at.block))).set(at.index);
        if let Some(repair) = at.index.checked_sub(layout.source_symbols(at.block)) {
            block.repair_seen = block.repair_seen.max(repair + 1);
        }
        if matches!(block.phase, Phase::Empty) && room && !block.bad {
            block.phase = Phase::Open(PartialBlock::new(&layout, at.block));
            self.open += 1;
        }
        match &mut block.phase {
            Phase::Open(open) if !block.bad => {
                open.add_multicast(at.index, symbol);
                Added::Kept
            }
            Phase::Empty => Added::NoRoom,
            _ => Added::Unneeded,
        }
    }

    /// Adds source symbols that came by unicast; false where the block needs none.
    pub(super) fn add_fetched(&mut self, at: Position, bytes: &[u8]) -> bool {
        let symbol_bytes = self.layout.symbol_bytes();
        let block = self.all.get_mut(at.block as usize);
        let Some(Block { phase: Phase::Open(open), .. }) = block else { return false };
        let symbols = bytes.chunks(symbol_bytes);
        (at.index..).zip(symbols).for_each(|(index, symbol)| open.add_source(index, symbol));
        true
    }

    /// What came of this block, if that is enough to assemble it; it then counts as being assembled.
    pub(super) fn take_complete(&mut self, block: u32) -> Option<PartialBlock> {
        let block = self.all.get_mut(block as usize)?;
        if !matches!(&block.phase, Phase::Open(open) if open.missing() == 0) {
            return None;
        }
        match std::mem::replace(&mut block.phase, Phase::Assembling) {
            Phase::Open(open) => Some(open),
            _ => None,
        }
    }

    /// A block that was being assembled is so no more; none for any other.
    pub(super) fn close(&mut self, block: u32) -> Option<Closed> {
        let block = self.all.get_mut(block as usize)?;
        if !matches!(block.phase, Phase::Assembling) {
            return None;
        }
        block.phase = Phase::Empty;
        self.open -= 1;
        Some(Closed { was_fetched: std::mem::take(&mut block.is_fetched) })
    }

    /// The block was given out.
    pub(super) fn set_done(&mut self, block: u32) {
        if let Some(block) = self.all.get_mut(block as usize) {
            block.phase = Phase::Done;
            self.done += 1;
        }
    }

    /// The block was not what was announced: multicast adds nothing to it any more.
    pub(super) fn set_bad(&mut self, block: u32) -> Bad {
        let Some(block) = self.all.get_mut(block as usize) else { return Bad::PerhapsOfOldKey };
        block.bad = true;
        if block.of_old_key { Bad::PerhapsOfOldKey } else { Bad::Forged }
    }

    /// The block comes by unicast from now on; whether it is still to be fetched.
    pub(super) fn set_unicast(&mut self, block: u32) -> bool {
        let Some(block) = self.all.get_mut(block as usize) else { return false };
        block.by_unicast = true;
        matches!(block.phase, Phase::Empty | Phase::Open(_)) && !block.is_fetched
    }

    /// The block is being fetched from now on: the source symbols that it lacks; none where it lacks none.
    pub(super) fn begin_fetch(&mut self, number: u32) -> Option<Vec<Range<u16>>> {
        let block = self.all.get_mut(number as usize)?;
        if matches!(block.phase, Phase::Empty) {
            block.phase = Phase::Open(PartialBlock::new(&self.layout, number));
            self.open += 1;
        }
        let Phase::Open(open) = &block.phase else { return None };
        block.is_fetched = true;
        Some(open.missing_source())
    }

    /// Those below `end` of which nothing came by multicast.
    pub(super) fn without_symbols(&self, end: u32) -> Vec<u32> {
        let blocks = (0..end).zip(&self.all);
        blocks.filter(|(_, block)| block.received.is_none()).map(|(number, _)| number).collect()
    }

    /// What blocks below `end` lack that repair may still come for, oldest first.
    pub(super) fn deficits(&self, end: u32) -> impl Iterator<Item = Deficit> {
        let blocks = (0..end).zip(&self.all).filter(|(_, block)| !block.by_unicast);
        blocks.filter_map(|(number, block)| {
            let missing = match &block.phase {
                Phase::Empty => self.layout.source_symbols(number),
                Phase::Open(open) => open.missing(),
                Phase::Assembling | Phase::Done => return None,
            };
            Some(Deficit { block: number, missing, repair_seen: block.repair_seen })
        })
    }

    /// Of what is not whole, nothing that was said under the old key is believed.
    pub(super) fn distrust_old_key(&mut self) {
        for block in &mut self.all {
            block.repair_seen = 0;
            match block.phase {
                Phase::Empty => block.received = None,
                Phase::Open(_) | Phase::Assembling => block.of_old_key = true,
                Phase::Done => {}
            }
        }
    }

    /// Drops what is held under the old key of blocks after this one, unless they are fetched.
    pub(super) fn drop_old_key_after(&mut self, block: u32) {
        for block in self.all.iter_mut().skip(block as usize + 1) {
            if block.of_old_key && !block.is_fetched && matches!(block.phase, Phase::Open(_)) {
                *block = Block { bad: block.bad, by_unicast: block.by_unicast, ..Block::default() };
                self.open -= 1;
            }
        }
    }
}

/// Blocks that may be open, beside the account of all blocks and one assembly.
fn open_max(layout: &BlockLayout) -> usize {
    let symbols = usize::from(layout.full_source_symbols() + layout.repair_symbols());
    let block = symbols * layout.symbol_bytes() + usize::from(layout.repair_symbols()) * AROUND_REPAIR_BYTES;
    let account = layout.blocks() as usize * (size_of::<Block>() + 32 + symbols.div_ceil(64) * 8);
    let left = HELD_BYTES_MAX.saturating_sub(account + ASSEMBLY_BLOCKS * block);
    // What unicast may take, and one more.
    (left / block).clamp(FETCHES_AT_ONCE + 1, OPEN_MAX)
}
