//! The sender: source symbols once, at a rate; between them repair for the block that somebody lacks most of.
//!
//! Promises: no symbol is asked for twice; repair of a block never exceeds what the session announced; once
//! all source symbols are out, the session ends when nobody who is waited for lacks anything, or ten seconds
//! after the last symbol.

use super::members::{Demotion, Members, untruth};
use super::pace::Pace;
use super::rate::{Rate, RateLimits};
use super::report::{Deficit, Report, ReportError, Standing};
use super::session::{Announcement, SessionId};
use super::shape::Shape;
use super::wire::{Beat, HEADER_BYTES, Position};
use crate::names::NodeName;
use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// Ethernet, IPv4 and UDP around a datagram, and its seal.
const AROUND_BYTES: usize = 14 + 20 + 8 + 16;
/// After the last symbol; then whoever still lacks something goes on by unicast.
const LINGER: Duration = Duration::from_secs(10);
/// A larger part of nodes that lose too much is no longer their fault.
const MANY: f64 = 0.3;

/// What to send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// A symbol.
    Symbol(Position),
    /// How far the sender is.
    Beat(Beat),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SenderEvent {
    /// Tell the node to fetch what these blocks lack: it is more than repair can give.
    Fetch {
        /// Whom.
        node: NodeName,
        /// Which.
        blocks: Vec<u32>,
    },
    /// Tell the node to fetch all that it lacks: it is no longer waited for.
    Demoted {
        /// Whom.
        node: NodeName,
        /// Why.
        why: Demotion,
    },
    /// Somebody who knows the key forges: go on in a new session, with a new key, for those who are trusted.
    Poisoned {
        /// Who saw it.
        node: NodeName,
    },
    /// Too many lose too much; multicast is no use for this object.
    GaveUp,
    /// It is over.
    Finished,
}

#[derive(Clone, Copy, Debug, Default)]
struct Repair {
    sent: u16,
    target: u16,
    /// The number of the beat that followed the last symbol of the block.
    next_beat: u32,
}

/// The machine.
#[derive(Debug)]
pub struct Sender {
    session: SessionId,
    shape: Shape,
    beat_every: Duration,
    report_every: Duration,
    pace: Pace,
    rate: Rate,
    members: Members,
    blocks: Vec<Repair>,
    /// The blocks whose target is above what was sent.
    due: BTreeSet<u32>,
    cursor: Position,
    sent: u64,
    /// Blocks the cursor had passed at the last beat.
    passed: u32,
    last_beat: Option<Beat>,
    beat_at: Instant,
    judge_at: Instant,
    last_symbol_at: Instant,
    /// The number of the beat that follows it.
    last_symbol_beat: u32,
    ready_at: Option<Instant>,
    halved: bool,
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
        let (shape, rate) = (*announcement.shape(), Rate::new(limits));
        let mut sender = Self {
            session: announcement.session(),
            shape,
            beat_every: announcement.beat_every(),
            report_every: announcement.report_every(),
            pace: Pace::new(rate.bytes_per_second(), now),
            rate,
            members: Members::default(),
            blocks: vec![Repair::default(); shape.blocks() as usize],
            due: BTreeSet::new(),
            cursor: Position { block: 0, index: 0 },
            sent: 0,
            passed: 0,
            last_beat: None,
            beat_at: now,
            judge_at: now + announcement.report_every(),
            last_symbol_at: now,
            last_symbol_beat: 0,
            ready_at: None,
            halved: false,
            finished: false,
            events: VecDeque::new(),
        };
        nodes.into_iter().for_each(|node| sender.members.add(now, node));
        sender
    }

    /// One more node; what has passed it gets by unicast.
    pub fn add_node(&mut self, now: Instant, node: NodeName) {
        self.members.add(now, node);
    }

    /// Goes by these limits from now on.
    pub fn limit(&mut self, now: Instant, limits: RateLimits) {
        self.rate.limit(limits);
        self.pace.set_rate(self.rate.bytes_per_second(), now);
    }

    /// What to do next.
    pub fn poll_event(&mut self) -> Option<SenderEvent> {
        self.events.pop_front()
    }

    /// When to call again at the latest; none once it is over.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timers = [Some(self.beat_at), Some(self.judge_at), self.ready_at];
        if self.finished { None } else { timers.into_iter().flatten().min() }
    }

    /// What to send next; none if nothing is due yet.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        self.handle_timeout(now);
        if self.finished {
            return None;
        }
        if now >= self.beat_at {
            return Some(Transmit::Beat(self.beat(now)));
        }
        self.symbol(now).map(Transmit::Symbol)
    }

    /// Does what time alone calls for.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.finished || now < self.judge_at {
            return;
        }
        self.judge_at = now + self.report_every;
        self.rate.judge(now, &mut self.members.losses());
        self.demote_all(&self.members.names(|member| member.is_silent(now)), Demotion::Silent);
        self.judge_outliers();
        self.pace.set_rate(self.rate.bytes_per_second(), now);
        self.finish_if_over(now);
    }

    /// Takes what a node reports.
    ///
    /// # Errors
    /// Where it comes from nobody who takes part, too often, or cannot be true.
    pub fn handle_report(
        &mut self,
        now: Instant,
        node: &NodeName,
        report: &Report,
    ) -> Result<(), ReportError> {
        self.admit(now, node, report)?;
        let asked = self.asked(report);
        let limit = self.members.outlier_above(self.shape.repairable_loss());
        let nothing_left = self.is_all_told_by(report);
        let Some(member) = self.members.get_mut(node) else { return Ok(()) };
        let demotion = member.note(now, report, asked, limit);
        member.satisfied = report.standing == Standing::Done || (nothing_left && report.deficits.is_empty());
        if let Some(why) = demotion {
            self.demote(node, why);
        } else if self.members.get_mut(node).is_some_and(|member| member.demoted.is_none()) {
            self.serve(node, report);
        }
        Ok(())
    }

    fn admit(&mut self, now: Instant, node: &NodeName, report: &Report) -> Result<(), ReportError> {
        let Some(member) = self.members.get_mut(node) else {
            return Err(ReportError::Stranger { node: node.clone(), session: self.session });
        };
        if report.session != self.session {
            let node = node.clone();
            return Err(ReportError::Session { node, given: report.session, wanted: self.session });
        }
        if !member.admits_report(now, self.report_every) {
            return Err(ReportError::TooOften { node: node.clone() });
        }
        let untrue = untruth(report, self.last_beat.as_ref())
            .or_else(|| report.deficits.iter().find_map(|deficit| self.untruth_of(deficit)));
        untrue.map_or(Ok(()), |what| Err(ReportError::Untrue { node: node.clone(), what }))
    }

    fn untruth_of(&self, deficit: &Deficit) -> Option<&'static str> {
        if deficit.block >= self.passed {
            return Some("a deficit in a block that was not sent yet");
        }
        if deficit.missing == 0 || deficit.missing > self.shape.source_symbols(deficit.block) {
            return Some("a deficit of nothing, or of more than a block");
        }
        let sent = self.blocks.get(deficit.block as usize).map_or(0, |block| block.sent);
        (deficit.repair_seen > sent).then_some("repair that was not sent")
    }

    /// What part of the blocks it names a report asks for, of those whose repair it knows all of.
    fn asked(&self, report: &Report) -> f64 {
        let known = report.deficits.iter().filter(|deficit| self.is_known(deficit.block, report.beat));
        let (missing, of) = known.fold((0, 0), |(missing, of), deficit| {
            let source = u64::from(self.shape.source_symbols(deficit.block));
            (missing + u64::from(deficit.missing), of + source)
        });
        if of == 0 { 0.0 } else { missing as f64 / of as f64 }
    }

    /// Whether who heard this beat has had everything of the block that was sent: the last symbol went out a
    /// whole beat before it, so that one which comes late by less does not count as lost.
    fn is_known(&self, block: u32, beat: Option<u32>) -> bool {
        let next = self.blocks.get(block as usize).map_or(0, |block| block.next_beat);
        beat.is_some_and(|beat| beat > next)
    }

    fn is_all_told_by(&self, report: &Report) -> bool {
        let all = self.is_source_out() && self.passed == self.shape.blocks() && self.due.is_empty();
        all && report.beat.is_some_and(|beat| beat > self.last_symbol_beat)
    }

    fn serve(&mut self, node: &NodeName, report: &Report) {
        let mut beyond = Vec::new();
        for deficit in &report.deficits {
            let known = self.is_known(deficit.block, report.beat);
            let Some(block) = self.blocks.get_mut(deficit.block as usize) else { continue };
            // Repair that is under way must not be asked for again.
            let has = if known { block.sent } else { deficit.repair_seen };
            let target = has + deficit.missing;
            if target > self.shape.repair_symbols() {
                beyond.push(deficit.block);
            } else if target > block.target {
                block.target = target;
                if target > block.sent {
                    self.due.insert(deficit.block);
                }
            }
        }
        if !beyond.is_empty() {
            self.events.push_back(SenderEvent::Fetch { node: node.clone(), blocks: beyond });
        }
    }

    fn beat(&mut self, now: Instant) -> Beat {
        let number = self.next_beat();
        let beat = Beat { number, passed: self.passed, sent: self.sent };
        self.last_beat = Some(beat);
        self.passed = self.cursor.block;
        self.beat_at = now + self.beat_every;
        beat
    }

    fn next_beat(&self) -> u32 {
        self.last_beat.map_or(0, |beat| beat.number + 1)
    }

    fn symbol(&mut self, now: Instant) -> Option<Position> {
        self.ready_at = None;
        let at = self.next_repair().or_else(|| self.next_source())?;
        let bytes = HEADER_BYTES + self.shape.symbol_bytes() + AROUND_BYTES;
        if let Err(ready) = self.pace.take(now, bytes) {
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
        Some(Position { block, index: self.shape.source_symbols(block) + sent })
    }

    fn next_source(&self) -> Option<Position> {
        (!self.is_source_out()).then_some(self.cursor)
    }

    /// Whether all source symbols have been sent.
    pub fn is_source_out(&self) -> bool {
        self.cursor.block >= self.shape.blocks()
    }

    fn advance(&mut self, at: Position) {
        self.sent += 1;
        self.last_symbol_beat = self.next_beat();
        let (source, next_beat) = (self.shape.source_symbols(at.block), self.next_beat());
        let Some(block) = self.blocks.get_mut(at.block as usize) else { return };
        block.next_beat = next_beat;
        if at.index >= source {
            block.sent += 1;
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

    fn demote(&mut self, node: &NodeName, why: Demotion) {
        if !self.members.demote(node, why) {
            return;
        }
        self.events.push_back(SenderEvent::Demoted { node: node.clone(), why });
        if why == Demotion::Poisoned {
            self.events.push_back(SenderEvent::Poisoned { node: node.clone() });
        }
    }

    fn demote_all(&mut self, nodes: &[NodeName], why: Demotion) {
        nodes.iter().for_each(|node| self.demote(node, why));
    }

    /// Many that lose too much: first slower, and if that does not help, not at all.
    fn judge_outliers(&mut self) {
        let outliers = self.members.outliers;
        let all = outliers + self.members.active().count();
        if outliers as f64 <= all as f64 * MANY {
            return;
        }
        self.members.outliers = 0;
        if !self.halved && self.members.active().next().is_some() {
            self.halved = true;
            self.rate.halve();
            return;
        }
        self.demote_all(&self.members.names(|_| true), Demotion::GaveUp);
        self.events.push_back(SenderEvent::GaveUp);
        self.finish();
    }

    fn finish_if_over(&mut self, now: Instant) {
        if self.finished {
            return;
        }
        let unsatisfied = self.members.names(|member| !member.satisfied);
        let lingered = self.is_source_out() && self.due.is_empty() && now >= self.last_symbol_at + LINGER;
        if lingered {
            self.demote_all(&unsatisfied, Demotion::Stalled);
        }
        if lingered || unsatisfied.is_empty() {
            self.finish();
        }
    }

    fn finish(&mut self) {
        self.finished = true;
        self.events.push_back(SenderEvent::Finished);
    }
}
