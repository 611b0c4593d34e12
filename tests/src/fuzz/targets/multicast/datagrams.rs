//! Datagrams: true ones, forged ones under the same key, those of other sessions, cut and changed, in any order,
//! with everything else that can happen to a receiver between them.
//!
//! An input is a script: records of a kind, a length N of two bytes, and N bytes.

use super::{Session, every_symbol, object, packer};
use crate::fuzz::{Reader, Verdict, bytes, pick};
use anyhow::{Context, Result, ensure};
use bootstash_multicast::{
    Announcement, HELD_BYTES_MAX, Heartbeat, Instruction, Receiver, ReceiverEvent, ReceiverStatus, Transmit,
};
use fastrand::Rng;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Kinds of records. Any other kind is a datagram.
const WAIT: u8 = 1;
const REKEY: u8 = 2;
const FETCH: u8 = 3;
const FETCH_ALL: u8 = 4;
const UNICAST: u8 = 5;
const DATAGRAM: u8 = 6;

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    [&[kind], &length.to_be_bytes()[..], body].concat()
}

/// All that is ever sealed under a session's key, of one object: each symbol, and heartbeats between.
fn sealed(session: Session, number: u8) -> Vec<Vec<u8>> {
    let Ok(mut packer) = packer(session, object(number)) else { return Vec::new() };
    let Ok(of) = super::announcement(session, &object(number)) else { return Vec::new() };
    let mut all = Vec::new();
    for (sent, symbol) in (0_u32..).zip(every_symbol(*of.layout())) {
        if sent % 8 == 0 {
            // A forger's say what they like.
            let passed = if number == 0 { sent / 12 } else { u32::from(number) << 24 };
            let heartbeat = Transmit::Heartbeat(Heartbeat {
                number: sent / 8,
                blocks_sent: passed,
                symbols_sent: u64::from(sent),
            });
            all.extend(packer.pack(&heartbeat));
        }
        all.extend(packer.pack(&symbol));
    }
    all
}

/// Whole transfers, in order: the true one, a forged one, the one under the next key.
struct Pool {
    honest: Vec<Vec<u8>>,
    others: Vec<Vec<u8>>,
}

fn pool() -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    let others = || {
        let sealed = [(Session::First, 1), (Session::Next, 0), (Session::Next, 2), (Session::Foreign, 0)];
        sealed.into_iter().flat_map(|(session, number)| self::sealed(session, number)).collect()
    };
    POOL.get_or_init(|| Pool { honest: sealed(Session::First, 0), others: others() })
}

pub(in crate::fuzz::targets) fn scripts() -> Vec<Vec<u8>> {
    let all =
        |datagrams: &[Vec<u8>]| datagrams.iter().flat_map(|one| record(DATAGRAM, one)).collect::<Vec<_>>();
    let (honest, forged) = (all(&pool().honest), all(&sealed(Session::First, 1)));
    let changes =
        [honest[..honest.len() / 2].to_vec(), record(REKEY, b""), all(&sealed(Session::Next, 0))].concat();
    vec![honest, forged, changes]
}

/// A script of its own, or one of the seeds with bytes changed anywhere.
pub(in crate::fuzz::targets) fn mutate_datagrams(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    if rng.u32(..4) == 0 {
        return bytes::mutate(rng, seeds);
    }
    // Runs of a transfer, so that blocks come about, with other things between.
    let (mut script, mut at) = (Vec::new(), 0);
    for _ in 0..rng.u32(1..60) {
        if rng.u32(..8) == 0 {
            at = rng.usize(..pool().honest.len());
        }
        let one = match rng.u32(..16) {
            0..9 => {
                at += 1;
                record(DATAGRAM, &pool().honest[at % pool().honest.len()])
            }
            9..12 => record(DATAGRAM, pick::<Vec<u8>>(rng, &pool().others)),
            12 | 13 => {
                let from = if rng.bool() { &pool().honest } else { &pool().others };
                let (mut changed, other) = (pick(rng, from).clone(), pick(rng, from));
                bytes::change(rng, &mut changed, other);
                record(DATAGRAM, &changed)
            }
            _ => record(rng.u8(WAIT..=UNICAST), &[rng.u8(..), rng.u8(..)]),
        };
        script.extend(one);
    }
    script
}

pub(in crate::fuzz::targets) fn open_datagrams() -> Reader {
    let sessions = [Session::First, Session::Next].map(|session| super::announcement(session, &object(0)));
    let start = Instant::now();
    Box::new(move |script| {
        let [first, next] = sessions.each_ref().map(|read| read.as_ref().ok().context("no announcement"));
        Node::new(first?, next?, start).follow(script)
    })
}

/// A receiver, and what came of it.
struct Node {
    next: Announcement,
    receiver: Receiver,
    now: Instant,
    object: Vec<u8>,
    given: u64,
    out: BTreeSet<u64>,
    done: bool,
    failed: bool,
    wanted: Vec<Range<u64>>,
}

impl Node {
    fn new(first: &Announcement, next: &Announcement, now: Instant) -> Self {
        Self {
            next: next.clone(),
            receiver: Receiver::new(Arc::new(first.clone()), 0.25, now),
            now,
            object: object(0),
            given: 0,
            out: BTreeSet::new(),
            done: false,
            failed: false,
            wanted: Vec::new(),
        }
    }

    fn follow(mut self, script: &[u8]) -> Result<Verdict> {
        let mut rest = script;
        while let Some(([kind, high, low], after)) = rest.split_first_chunk::<3>() {
            let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
            let (body, after) = after.split_at(length);
            self.step(*kind, body)?;
            rest = after;
        }
        let counters = self.receiver.counters();
        let refused = counters.wrong_length + counters.wrong_session + counters.wrong_position;
        let refused = refused + counters.held + counters.wrong_seal;
        ensure!(counters.taken + refused == self.given, "datagrams were not counted: {counters:?}");
        Ok(if counters.taken > 0 { Verdict::Accepted } else { Verdict::Refused })
    }

    fn step(&mut self, kind: u8, body: &[u8]) -> Result<()> {
        let argument = body.first().copied().unwrap_or(0);
        match kind {
            WAIT => self.now += Duration::from_millis(u64::from(argument) * 10),
            REKEY => self.receiver.rekey(&self.next)?,
            FETCH => self.receiver.handle_instruction(&Instruction::Fetch(vec![u32::from(argument % 8)])),
            FETCH_ALL => self.receiver.handle_instruction(&Instruction::FetchAll),
            UNICAST => self.answer(argument)?,
            _ => {
                self.given += 1;
                let _ = self.receiver.handle_datagram(self.now, &mut body.to_vec());
            }
        }
        self.receiver.handle_timeout(self.now);
        self.settle()
    }

    /// What was asked for, or what was not, at any place.
    fn answer(&mut self, argument: u8) -> Result<()> {
        let Some(range) = self.wanted.pop() else {
            let anywhere = u64::from(argument) * 37;
            let _ = self.receiver.handle_unicast(anywhere, &vec![argument; usize::from(argument) * 5]);
            return Ok(());
        };
        let mut bytes = self.object[range.start as usize..range.end as usize].to_vec();
        // A source that does not have what was announced.
        self.failed |= argument == 0;
        bytes[0] ^= u8::from(argument == 0);
        Ok(self.receiver.handle_unicast(range.start, &bytes)?)
    }

    fn settle(&mut self) -> Result<()> {
        while let Some(event) = self.receiver.poll_event() {
            match event {
                ReceiverEvent::Assemble(assembly) => self.receiver.handle_assembled(self.now, assembly.run()),
                ReceiverEvent::Block { offset, bytes } => self.block(offset, &bytes)?,
                ReceiverEvent::Fetch(ranges) => self.wanted.extend(ranges),
                ReceiverEvent::Failed { block } => ensure!(self.failed, "block {block} failed for nothing"),
                ReceiverEvent::Left(_) => {}
                ReceiverEvent::Done => ensure!(!std::mem::replace(&mut self.done, true), "it is done twice"),
            }
        }
        ensure!(self.receiver.held_bytes() <= HELD_BYTES_MAX, "it holds {}", self.receiver.held_bytes());
        let Some(report) = self.receiver.poll_report(self.now) else { return Ok(()) };
        ensure!(report.received <= report.expected && report.deficits.len() <= 64, "{report:?}");
        ensure!((report.status == ReceiverStatus::Done) == self.done, "{report:?}");
        Ok(())
    }

    fn block(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        ensure!(self.out.insert(offset), "the block at {offset} is given out twice");
        let place = self.object.get(offset as usize..offset as usize + bytes.len());
        ensure!(place == Some(bytes), "other bytes than were announced at {offset}");
        Ok(())
    }
}
