//! The receiver: takes datagrams, says what it lacks, gives out blocks.
//!
//! Promises: it gives out each block once, and only bytes that were announced; it holds at most
//! [`HELD_BYTES_MAX`]. Two blocks that turn out wrong, or two seconds without a beat, and it goes on by
//! unicast alone.

use super::bits::Bits;
use super::heard::{Counters, LeaveReason, ReceiverEvent, UnicastError};
use super::open::{Assembled, Assembly, OpenBlock};
use super::report::{DEFICITS_MAX, Deficit, Instruction, Report, Standing};
use super::session::Announcement;
use super::wire::{Beat, Claim, Opened, Opener, Position, Rejected};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// All that a receiver holds, with the working memory of one assembly.
pub const HELD_BYTES_MAX: usize = 32_000_000;
/// Of that, for blocks that come in; the rest is for one assembly and for the account of all blocks.
const OPEN_BYTES_MAX: usize = 22_000_000;
const OPEN_MAX: usize = 64;
/// Blocks that are fetched by unicast at a time; multicast leaves them room.
const WANTED_AT_ONCE: usize = 3;
/// Switches that drop a group do so without an error.
const UNHEARD_AFTER: Duration = Duration::from_secs(2);
const BAD_BLOCKS_MAX: u32 = 2;

#[derive(Default)]
enum Phase {
    #[default]
    Empty,
    Open(OpenBlock),
    Assembling,
    Done,
}

#[derive(Default)]
struct BlockState {
    phase: Phase,
    seen: Option<Bits>,
    repair_seen: u16,
    /// No repair comes for it any more.
    by_unicast: bool,
    /// It is being fetched.
    wanted: bool,
    /// It came wrong by multicast.
    bad: bool,
}

/// The machine.
pub struct Receiver {
    announcement: Arc<Announcement>,
    opener: Option<Opener>,
    blocks: Vec<BlockState>,
    open: usize,
    done: u32,
    wanted: usize,
    to_want: BTreeSet<u32>,
    standing: Standing,
    fetch_all: bool,
    fetched_to: u32,
    passed: u32,
    beat: Option<u32>,
    /// Sent by the sender, heard here: now, at the last beat, and as reported.
    heard: u64,
    at_beat: (u64, u64),
    reported: (u64, u64),
    report_at: Option<Instant>,
    last_report: Instant,
    jitter: f64,
    unheard_at: Instant,
    counters: Counters,
    events: VecDeque<ReceiverEvent>,
}

impl Receiver {
    /// Begins to listen. `spread` (0 to 1), different on each node, keeps reports apart.
    pub fn new(announcement: Arc<Announcement>, spread: f64, now: Instant) -> Self {
        let blocks = (0..announcement.shape().blocks()).map(|_| BlockState::default()).collect();
        Self {
            opener: Opener::new(&announcement),
            announcement,
            blocks,
            open: 0,
            done: 0,
            wanted: 0,
            to_want: BTreeSet::new(),
            standing: Standing::Listening,
            fetch_all: false,
            fetched_to: 0,
            passed: 0,
            beat: None,
            heard: 0,
            at_beat: (0, 0),
            reported: (0, 0),
            report_at: None,
            last_report: now,
            jitter: spread.clamp(0.0, 1.0),
            unheard_at: now + UNHEARD_AFTER,
            counters: Counters::default(),
            events: VecDeque::new(),
        }
    }

    /// What to do next.
    pub fn poll_event(&mut self) -> Option<ReceiverEvent> {
        self.events.pop_front()
    }

    /// What came so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Bytes of blocks that are not whole yet.
    pub fn held_bytes(&self) -> usize {
        let open = self.blocks.iter().map(|block| match &block.phase {
            Phase::Open(open) => open.held_bytes(),
            _ => 0,
        });
        open.sum()
    }

    /// When to call [`Self::handle_timeout`] and [`Self::poll_report`] at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let unheard = (self.standing == Standing::Listening).then_some(self.unheard_at);
        self.report_at.into_iter().chain(unheard).min()
    }

    /// Does what time alone calls for.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.standing == Standing::Listening && now >= self.unheard_at {
            self.leave(now, LeaveReason::Unheard);
        }
    }

    /// Takes a datagram; its bytes are deciphered in place.
    ///
    /// # Errors
    /// Where it is of no use; it is counted, and that is all.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &mut [u8]) -> Result<(), Rejected> {
        let taken = self.take(now, datagram);
        match taken {
            Ok(()) => self.counters.taken += 1,
            Err(Rejected::Length) => self.counters.wrong_length += 1,
            Err(Rejected::Session) => self.counters.wrong_session += 1,
            Err(Rejected::Position) => self.counters.wrong_position += 1,
            Err(Rejected::Held) => self.counters.held += 1,
            Err(Rejected::Seal) => self.counters.wrong_seal += 1,
        }
        taken
    }

    /// Takes bytes of the object that came by unicast: whole symbols of one block.
    ///
    /// # Errors
    /// Where they are not.
    pub fn handle_unicast(&mut self, offset: u64, bytes: &[u8]) -> Result<(), UnicastError> {
        let at = self.unicast_position(offset, bytes.len() as u64)?;
        let symbol = self.announcement.shape().symbol_bytes();
        if let Some(BlockState { phase: Phase::Open(open), .. }) = self.blocks.get_mut(at.block as usize) {
            self.counters.unicast_bytes += bytes.len() as u64;
            (at.index..).zip(bytes.chunks(symbol)).for_each(|(index, symbol)| open.add_source(index, symbol));
            self.assemble_if_enough(at.block);
        }
        Ok(())
    }

    /// Takes what the sender says.
    pub fn handle_instruction(&mut self, instruction: &Instruction) {
        match instruction {
            Instruction::Fetch(blocks) => blocks.iter().for_each(|block| self.fetch(*block)),
            Instruction::FetchAll => {
                self.fetch_all = true;
                self.fetch_passed();
            }
        }
        self.want();
    }

    /// Takes what became of a block; one of another session counts for nothing.
    pub fn handle_assembled(&mut self, now: Instant, assembled: Assembled) {
        let Assembled { session, block, by_multicast, bytes } = assembled;
        let offset = self.announcement.shape().range(block).start;
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

    /// A report, when one is due.
    pub fn poll_report(&mut self, now: Instant) -> Option<Report> {
        self.report_at.filter(|at| now >= *at)?;
        self.report_at = None;
        self.last_report = now;
        let (sent, heard) = (self.at_beat.0 - self.reported.0, self.at_beat.1 - self.reported.1);
        // A few symbols say nothing of a loss.
        let tells = sent >= 64;
        self.reported = if tells { self.at_beat } else { self.reported };
        Some(Report {
            session: self.announcement.session(),
            standing: self.standing,
            beat: self.beat,
            expected: if tells { sent } else { 0 },
            heard: if tells { heard.min(sent) } else { 0 },
            deficits: self.deficits(),
        })
    }

    fn deficits(&self) -> Vec<Deficit> {
        if self.standing != Standing::Listening || self.fetch_all {
            return Vec::new();
        }
        let blocks = (0..self.passed).zip(&self.blocks).filter(|(_, state)| !state.by_unicast);
        let deficits = blocks.filter_map(|(block, state)| {
            let missing = match &state.phase {
                Phase::Empty => self.announcement.shape().source_symbols(block),
                Phase::Open(open) => open.missing(),
                Phase::Assembling | Phase::Done => return None,
            };
            Some(Deficit { block, missing, repair_seen: state.repair_seen })
        });
        deficits.take(DEFICITS_MAX).collect()
    }

    fn take(&mut self, now: Instant, datagram: &mut [u8]) -> Result<(), Rejected> {
        let listens = !matches!(self.standing, Standing::Done | Standing::Poisoned);
        let opener = self.opener.as_ref().filter(|_| listens).ok_or(Rejected::Session)?;
        let opened = opener.read(datagram, |claim| match claim {
            Claim::Beat(number) => self.beat.is_some_and(|beat| beat >= *number),
            Claim::Symbol(at) => is_seen(&self.blocks, *at),
        })?;
        match opened {
            Opened::Beat(beat) => self.hear(now, &beat),
            Opened::Symbol(at, symbol) => self.take_symbol(at, symbol),
        }
        Ok(())
    }

    fn take_symbol(&mut self, at: Position, symbol: &[u8]) {
        self.heard += 1;
        let shape = *self.announcement.shape();
        let room = self.open + WANTED_AT_ONCE < self.slots();
        let Some(state) = self.blocks.get_mut(at.block as usize) else { return };
        state.seen.get_or_insert_with(|| Bits::new(shape.symbols(at.block))).set(at.index);
        if let Some(repair) = at.index.checked_sub(shape.source_symbols(at.block)) {
            state.repair_seen = state.repair_seen.max(repair + 1);
        }
        if matches!(state.phase, Phase::Empty) && room && !state.bad {
            state.phase = Phase::Open(OpenBlock::new(&shape, at.block));
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

    fn hear(&mut self, now: Instant, beat: &Beat) {
        let first = self.beat.is_none();
        self.beat = Some(beat.number);
        self.passed = self.passed.max(beat.passed.min(self.announcement.shape().blocks()));
        self.at_beat = (beat.sent.max(self.at_beat.0), self.heard);
        self.unheard_at = now + UNHEARD_AFTER;
        if first {
            self.reported = self.at_beat;
            self.fetch_what_passed_before();
        }
        self.fetch_passed();
        self.want();
        if self.report_at.is_none() && !self.fetch_all && self.standing == Standing::Listening {
            let every = self.announcement.report_every();
            self.report_at = Some((self.last_report + every).max(now) + every.mul_f64(self.jitter / 4.0));
        }
    }

    /// What went by before this node came is not the others' business.
    fn fetch_what_passed_before(&mut self) {
        let passed = (0..self.passed).zip(&self.blocks);
        let unseen: Vec<u32> =
            passed.filter(|(_, state)| state.seen.is_none()).map(|(block, _)| block).collect();
        unseen.into_iter().for_each(|block| self.fetch(block));
    }

    fn fetch_passed(&mut self) {
        if self.fetch_all {
            (self.fetched_to..self.passed).for_each(|block| self.fetch(block));
            self.fetched_to = self.passed;
        }
    }

    fn fetch(&mut self, block: u32) {
        let Some(state) = self.blocks.get_mut(block as usize) else { return };
        let lacking = matches!(state.phase, Phase::Empty | Phase::Open(_));
        state.by_unicast = true;
        if lacking && !state.wanted {
            self.to_want.insert(block);
        }
    }

    /// Asks for the oldest blocks that are to be fetched, a few at a time.
    fn want(&mut self) {
        while self.wanted < WANTED_AT_ONCE && self.open < self.slots() {
            let Some(block) = self.to_want.pop_first() else { return };
            let shape = *self.announcement.shape();
            let Some(state) = self.blocks.get_mut(block as usize) else { continue };
            if matches!(state.phase, Phase::Empty) {
                state.phase = Phase::Open(OpenBlock::new(&shape, block));
                self.open += 1;
            }
            let Phase::Open(open) = &state.phase else { continue };
            state.wanted = true;
            self.wanted += 1;
            let (start, symbol) = (shape.range(block).start, shape.symbol_bytes() as u64);
            let byte = |index: u16| (start + u64::from(index) * symbol).min(shape.length());
            let ranges = open.wanted().into_iter().map(|range| byte(range.start)..byte(range.end));
            self.events.push_back(ReceiverEvent::Fetch(ranges.collect()));
        }
    }

    fn assemble_if_enough(&mut self, block: u32) {
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
        if self.done == self.announcement.shape().blocks() {
            self.standing = Standing::Done;
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
        self.counters.bad_blocks += 1;
        self.fetch(block);
        if self.counters.bad_blocks == BAD_BLOCKS_MAX {
            self.leave(now, LeaveReason::Poisoned);
        }
    }

    fn leave(&mut self, now: Instant, why: LeaveReason) {
        self.standing = match why {
            LeaveReason::Unheard => Standing::Unheard,
            LeaveReason::Poisoned => Standing::Poisoned,
        };
        self.fetch_all = true;
        self.passed = self.announcement.shape().blocks();
        self.report_at = Some(now);
        self.events.push_back(ReceiverEvent::Left(why));
        self.fetch_passed();
        self.want();
    }

    fn slots(&self) -> usize {
        let shape = self.announcement.shape();
        let block = usize::from(shape.full_source_symbols() + shape.repair_symbols()) * shape.symbol_bytes();
        (OPEN_BYTES_MAX / block).min(OPEN_MAX)
    }

    fn unicast_position(&self, offset: u64, length: u64) -> Result<Position, UnicastError> {
        let shape = self.announcement.shape();
        let refused = UnicastError { offset, length };
        let block = u32::try_from(offset / shape.block_bytes()).unwrap_or(u32::MAX);
        let (range, symbol) = (shape.range(block), shape.symbol_bytes() as u64);
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

fn is_seen(blocks: &[BlockState], at: Position) -> bool {
    let state = blocks.get(at.block as usize);
    state.and_then(|state| state.seen.as_ref()).is_some_and(|seen| seen.get(at.index))
}
