//! The blocks of a receiver: what came of each, and what is made of it.

use super::event::ReceiverEvent;
use super::fetching::WANTED_AT_ONCE;
use super::{HELD_BYTES_MAX, Receiver};
use crate::assembly::{Assembled, Assembly, PartialBlock};
use crate::bits::Bits;
use crate::block_layout::BlockLayout;
use crate::report::ReceiverStatus;
use crate::wire::Position;
use std::sync::Arc;
use std::time::Instant;

const OPEN_MAX: usize = 64;
/// Beside the block itself an assembly works on a power of two of symbols: less than twice the block.
const ASSEMBLY_BLOCKS: usize = 2;
/// What it takes to hold one repair symbol, in a list that has room for twice as many.
const AROUND_REPAIR_BYTES: usize = 2 * size_of::<(u16, Vec<u8>)>();

#[derive(Default)]
pub(super) enum Phase {
    #[default]
    Empty,
    Open(PartialBlock),
    Assembling,
    Done,
}

#[derive(Default)]
pub(super) struct BlockState {
    pub(super) phase: Phase,
    pub(super) seen: Option<Bits>,
    pub(super) repair_seen: u16,
    /// No repair comes for it any more.
    pub(super) by_unicast: bool,
    /// It is being fetched.
    pub(super) wanted: bool,
    /// It came wrong by multicast.
    pub(super) bad: bool,
    /// Some of it came under a key that is no longer in use.
    pub(super) of_old_key: bool,
}

impl BlockState {
    /// Of what is not whole, nothing that is said under the old key is believed.
    pub(super) fn distrust(&mut self) {
        self.repair_seen = 0;
        match self.phase {
            Phase::Empty => self.seen = None,
            Phase::Open(_) | Phase::Assembling => self.of_old_key = true,
            Phase::Done => {}
        }
    }
}

impl Receiver {
    /// Takes what became of a block; one of another session counts for nothing.
    pub fn handle_assembled(&mut self, now: Instant, assembled: Assembled) {
        let Assembled { session, block, by_multicast, bytes } = assembled;
        let offset = self.announcement.layout().range(block).start;
        let ours = session == self.announcement.session();
        let state = self.blocks.get_mut(block as usize).filter(|_| ours);
        let Some(state) = state.filter(|state| matches!(state.phase, Phase::Assembling)) else { return };
        self.open -= 1;
        self.wanted -= usize::from(std::mem::take(&mut state.wanted));
        match bytes {
            Some(bytes) => {
                state.phase = Phase::Done;
                self.events.push_back(ReceiverEvent::Block { offset, bytes });
                self.count_done(now);
            }
            None => self.drop_bad(now, block, by_multicast),
        }
        self.want();
    }

    pub(super) fn take_symbol(&mut self, at: Position, symbol: &[u8]) {
        self.received += 1;
        let layout = *self.announcement.layout();
        if at.index < layout.source_symbols(at.block) {
            self.drop_ahead_of(at.block);
        }
        let room = self.open + WANTED_AT_ONCE < self.slots;
        let Some(state) = self.blocks.get_mut(at.block as usize) else { return };
        state.seen.get_or_insert_with(|| Bits::new(layout.symbols(at.block))).set(at.index);
        if let Some(repair) = at.index.checked_sub(layout.source_symbols(at.block)) {
            state.repair_seen = state.repair_seen.max(repair + 1);
        }
        if matches!(state.phase, Phase::Empty) && room && !state.bad {
            state.phase = Phase::Open(PartialBlock::new(&layout, at.block));
            self.open += 1;
        }
        match &mut state.phase {
            Phase::Open(open) if !state.bad => {
                open.add_multicast(at.index, symbol);
                self.assemble_if_enough(at.block);
            }
            Phase::Empty => self.counters.without_room += 1,
            _ => {}
        }
    }

    pub(super) fn assemble_if_enough(&mut self, block: u32) {
        let Some(state) = self.blocks.get_mut(block as usize) else { return };
        if !matches!(&state.phase, Phase::Open(open) if open.missing() == 0) {
            return;
        }
        self.to_want.remove(&block);
        if let Phase::Open(open) = std::mem::replace(&mut state.phase, Phase::Assembling) {
            let assembly = Assembly::new(Arc::clone(&self.announcement), block, open);
            self.events.push_back(ReceiverEvent::Assemble(assembly));
        }
    }

    fn count_done(&mut self, now: Instant) {
        self.done += 1;
        if self.done == self.announcement.layout().blocks() {
            self.status = ReceiverStatus::Done;
            self.report_at = Some(now);
            self.events.push_back(ReceiverEvent::Done);
        }
    }

    fn drop_bad(&mut self, now: Instant, block: u32, by_multicast: bool) {
        let Some(state) = self.blocks.get_mut(block as usize) else { return };
        state.phase = Phase::Empty;
        state.bad = true;
        if !by_multicast {
            self.events.push_back(ReceiverEvent::Failed { block });
            return;
        }
        let forged_now = !state.of_old_key;
        self.counters.bad_blocks += 1;
        self.fetch(block);
        if forged_now {
            self.count_forged(now);
        }
    }
}

/// Blocks that may be open, beside the account of all blocks and one assembly.
pub(super) fn slots(layout: &BlockLayout) -> usize {
    let symbols = usize::from(layout.full_source_symbols() + layout.repair_symbols());
    let block = symbols * layout.symbol_bytes() + usize::from(layout.repair_symbols()) * AROUND_REPAIR_BYTES;
    let account = layout.blocks() as usize * (size_of::<BlockState>() + 32 + symbols.div_ceil(64) * 8);
    let left = HELD_BYTES_MAX.saturating_sub(account + ASSEMBLY_BLOCKS * block);
    // What unicast may take, and one more.
    (left / block).clamp(WANTED_AT_ONCE + 1, OPEN_MAX)
}

pub(super) fn is_seen(blocks: &[BlockState], at: Position) -> bool {
    let state = blocks.get(at.block as usize);
    state.and_then(|state| state.seen.as_ref()).is_some_and(|seen| seen.get(at.index))
}
