//! The network: what it loses, reorders, duplicates and injects, and which nodes are on it.

mod event;
mod link;
mod node;

pub(super) use link::{Link, Rng};
pub(super) use node::{Behaviour, Peer, peer};

use self::event::{Action, Event};
use self::link::Bottleneck;
use super::super::*;
use super::rate;
use bootstash_base::names::NodeName;
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) struct Object(pub(super) Rc<Vec<u8>>);

impl ObjectSource for Object {
    fn read(&mut self, range: Range<u64>) -> io::Result<Vec<u8>> {
        Ok(self.0[range.start as usize..range.end as usize].to_vec())
    }
}

/// Of Ethernet, IPv4 and UDP.
const HEADERS_BYTES: usize = 14 + 20 + 8;

/// What an attacker sends before each true datagram.
pub(super) type Attack = Box<dyn FnMut(&mut Rng, &[u8]) -> Vec<Vec<u8>>>;

pub(super) struct Net {
    seed: u64,
    rng: Rng,
    start: Instant,
    now: Instant,
    queue: BinaryHeap<Reverse<Event>>,
    order: u64,
    object: Rc<Vec<u8>>,
    announcement: Arc<Announcement>,
    /// In use, and to be used next.
    key: Rc<RefCell<Announcement>>,
    next_key: Option<Announcement>,
    pub(super) sender: Sender,
    sender_timer: Option<Instant>,
    packer: Packer<Object>,
    bottleneck: Option<Bottleneck>,
    /// The rate whenever a heartbeat goes out.
    pub(super) rates: Vec<f64>,
    attack: Option<Attack>,
    /// What an attacker sends comes here only.
    attacked: Option<usize>,
    pub(super) peers: Vec<Peer>,
    pub(super) events: Vec<SenderEvent>,
    pub(super) symbols: u64,
    /// Of all datagrams, with the headers of Ethernet, IP and UDP.
    pub(super) wire_bytes: u64,
    pub(super) refused: Vec<String>,
}

/// A failure can be reproduced by its seed.
impl Drop for Net {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("multicast: failed with seed {} after {:?}", self.seed, self.now - self.start);
        }
    }
}

impl Net {
    pub(super) fn new(seed: u64, object: Vec<u8>, announcement: Arc<Announcement>, peers: Vec<Peer>) -> Self {
        let (start, object) = (Instant::now(), Rc::new(object));
        let now_there = peers.iter().filter(|peer| peer.joins.is_zero()).map(|peer| peer.name.clone());
        let sender = Sender::new(&announcement, RateLimits::up_to(rate()), now_there, start);
        let packer = Packer::new((*announcement).clone(), Object(object.clone())).unwrap();
        let rng = Rng::new(seed);
        let mut net = Self {
            seed,
            rng,
            start,
            now: start,
            queue: BinaryHeap::new(),
            order: 0,
            object,
            key: Rc::new(RefCell::new((*announcement).clone())),
            next_key: None,
            announcement,
            sender,
            sender_timer: None,
            packer,
            bottleneck: None,
            rates: Vec::new(),
            attack: None,
            attacked: None,
            peers,
            events: Vec::new(),
            symbols: 0,
            wire_bytes: 0,
            refused: Vec::new(),
        };
        (0..net.peers.len()).for_each(|peer| net.push(net.peers[peer].joins, Action::Join(peer)));
        for peer in 0..net.peers.len() {
            if let Behaviour::ExpelledAt(at) = net.peers[peer].behaviour {
                net.push(at, Action::Expel(peer));
            }
        }
        net.push(Duration::ZERO, Action::WakeSender);
        net
    }

    pub(super) fn behind_bottleneck(mut self, bytes_per_second: f64) -> Self {
        self.bottleneck = Some(Bottleneck::new(bytes_per_second, self.start));
        self
    }

    pub(super) fn attacked_by(mut self, attack: Attack) -> Self {
        self.attack = Some(attack);
        self
    }

    pub(super) fn attacked_only_at(mut self, peer: usize) -> Self {
        self.attacked = Some(peer);
        self
    }

    /// The key in use, for who has every key.
    pub(super) fn key(&self) -> Rc<RefCell<Announcement>> {
        self.key.clone()
    }

    /// Until nothing is left to happen. Every node that lives and is honest then has the object, once.
    pub(super) fn run(mut self) -> Self {
        while let Some(Reverse(Event(at, _, what))) = self.queue.pop() {
            self.now = at;
            assert!(at - self.start < Duration::from_secs(600), "no end in sight");
            self.apply(what);
        }
        println!(
            "run with seed {}: {} symbols, {} bytes, {} events, {} reports refused, over after {:?}",
            self.seed,
            self.symbols,
            self.wire_bytes,
            self.events.len(),
            self.refused.len(),
            self.now - self.start
        );
        assert_eq!(self.events.iter().filter(|event| **event == SenderEvent::Finished).count(), 1);
        for peer in self.peers.iter().filter(|peer| peer.behaviour == Behaviour::Correct) {
            assert_eq!(peer.done, 1, "{} is not done", peer.name);
            assert!(peer.bytes == *self.object, "{} has other bytes", peer.name);
        }
        self
    }

    pub(super) fn demoted(&self, peer: usize) -> Option<Demotion> {
        self.events.iter().find_map(|event| match event {
            SenderEvent::Demoted { node, why } if *node == self.peers[peer].name => Some(*why),
            _ => None,
        })
    }

    pub(super) fn ratio(&self) -> f64 {
        self.symbols as f64 / self.announcement.layout().all_source_symbols() as f64
    }

    fn push(&mut self, after: Duration, what: Action) {
        self.order += 1;
        self.queue.push(Reverse(Event(self.now + after, self.order, what)));
    }

    fn apply(&mut self, what: Action) {
        match what {
            Action::WakeSender => {
                self.sender_timer = None;
                self.drive_sender();
            }
            Action::Report(peer, report) => self.report(peer, &report),
            Action::Join(peer) => self.join(peer),
            Action::Expel(peer) => {
                self.sender.expel(self.now, &self.peers[peer].name);
                self.drive_sender();
            }
            Action::Wake(peer) => {
                self.peers[peer].timer = None;
                self.with_receiver(peer, |receiver, now| receiver.handle_timeout(now));
            }
            Action::Datagram(peer, datagram) => self.with_receiver(peer, |receiver, now| {
                receiver.handle_datagram(now, &mut (*datagram).clone()).ok();
            }),
            Action::Instruct(peer, instruction) => {
                if self.peers[peer].behaviour != Behaviour::OverRequests {
                    self.with_receiver(peer, |receiver, _| receiver.handle_instruction(&instruction));
                }
            }
            Action::Unicast(peer, _) if self.is_expelled(peer) => {}
            Action::Unicast(peer, range) => {
                let object = self.object.clone();
                let bytes = &object[range.start as usize..range.end as usize];
                self.peers[peer].unicast_bytes += bytes.len() as u64;
                self.with_receiver(peer, |receiver, _| receiver.handle_unicast(range.start, bytes).unwrap());
            }
        }
    }

    fn is_expelled(&self, peer: usize) -> bool {
        matches!(self.peers[peer].behaviour, Behaviour::ExpelledAt(at) if self.now - self.start >= at)
    }

    fn join(&mut self, peer: usize) {
        let spread = self.rng.part();
        let latest = self.next_key.clone().unwrap_or_else(|| self.key.borrow().clone());
        let receiver = Receiver::new(Arc::new(latest), spread, self.now);
        self.peers[peer].bytes = vec![0; self.object.len()];
        self.peers[peer].receiver = Some(receiver);
        if !self.peers[peer].joins.is_zero() {
            self.sender.add_node(self.now, self.peers[peer].name.clone());
        }
        self.settle(peer);
    }

    fn report(&mut self, peer: usize, report: &Report) {
        let name = self.peers[peer].name.clone();
        if let Err(error) = self.sender.handle_report(self.now, &name, report) {
            self.refused.push(error.to_string());
        }
        self.drive_sender();
        for instruction in std::mem::take(&mut self.peers[peer].replies) {
            let delay = Duration::from_micros(1000 + self.rng.below(5000));
            self.push(delay, Action::Instruct(peer, instruction));
        }
    }

    fn drive_sender(&mut self) {
        self.send();
        while let Some(event) = self.sender.poll_event() {
            self.sender_event(&event);
            self.events.push(event);
            self.send();
        }
        let timeout = self.sender.poll_timeout();
        if let Some(at) = timeout.filter(|at| self.sender_timer.is_none_or(|timer| *at < timer)) {
            self.sender_timer = Some(at);
            self.push(at.saturating_duration_since(self.now), Action::WakeSender);
        }
    }

    fn send(&mut self) {
        while let Some(transmit) = self.sender.poll_transmit(self.now) {
            match transmit {
                Transmit::Symbol(_) => self.symbols += 1,
                Transmit::Heartbeat(_) => self.rates.push(self.sender.bytes_per_second()),
            }
            let datagram = self.packer.pack(&transmit).unwrap();
            let forged = self.attack.as_mut().map(|attack| attack(&mut self.rng, &datagram));
            let attacked = self.attacked.map_or(0..self.peers.len(), |peer| peer..peer + 1);
            for datagram in forged.unwrap_or_default() {
                self.multicast(datagram, attacked.clone());
            }
            let (now, bytes) = (self.now, datagram.len() + HEADERS_BYTES);
            self.wire_bytes += bytes as u64;
            if self.bottleneck.as_mut().is_none_or(|place| place.passes(now, bytes)) {
                self.multicast(datagram, 0..self.peers.len());
            }
        }
    }

    fn sender_event(&mut self, event: &SenderEvent) {
        match event {
            SenderEvent::Fetch { node, blocks } => self.reply(node, Instruction::Fetch(blocks.clone())),
            SenderEvent::Demoted { node, .. } => self.reply(node, Instruction::FetchAll),
            SenderEvent::Rekey { nodes } => {
                let next = self.key.borrow().rekeyed().unwrap();
                self.sender.rekey(self.now, &next).unwrap();
                let instruction = Instruction::Rekey(Box::new(next.clone()));
                nodes.iter().for_each(|node| self.reply(node, instruction.clone()));
                self.next_key = Some(next);
            }
            SenderEvent::Rekeyed { session } => {
                let next = self.next_key.take().unwrap();
                assert_eq!(next.session(), *session);
                self.packer.rekey(next.clone()).unwrap();
                *self.key.borrow_mut() = next;
            }
            SenderEvent::KeyCompromised { .. } | SenderEvent::GaveUp | SenderEvent::Finished => {}
        }
    }

    fn reply(&mut self, node: &NodeName, instruction: Instruction) {
        let peer = self.peers.iter().position(|peer| peer.name == *node).unwrap();
        self.peers[peer].replies.push(instruction);
    }

    fn multicast(&mut self, datagram: Vec<u8>, to: Range<usize>) {
        let datagram = Rc::new(datagram);
        for peer in to {
            if self.peers[peer].receiver.is_none() || self.is_lost(peer) {
                continue;
            }
            let link = self.peers[peer].link;
            let extra = if self.rng.chance(link.reordered) { self.rng.below(5000) } else { 0 };
            self.push(Duration::from_micros(300 + extra), Action::Datagram(peer, datagram.clone()));
            if self.rng.chance(link.duplicated) {
                self.push(Duration::from_micros(900), Action::Datagram(peer, datagram.clone()));
            }
        }
    }

    /// Gilbert's model, with the mean that the path says.
    fn is_lost(&mut self, peer: usize) -> bool {
        let Link { loss, burst, .. } = self.peers[peer].link;
        if burst <= 1.0 {
            return self.rng.chance(loss);
        }
        let ends = 1.0 / burst;
        let begins = ends * loss / (1.0 - loss);
        let turns = self.rng.chance(if self.peers[peer].in_burst { ends } else { begins });
        self.peers[peer].in_burst ^= turns;
        self.peers[peer].in_burst
    }

    fn with_receiver(&mut self, peer: usize, act: impl FnOnce(&mut Receiver, Instant)) {
        let (now, since) = (self.now, self.now - self.start);
        let one = &mut self.peers[peer];
        if matches!(one.behaviour, Behaviour::CrashesAfter(at) if since >= at) {
            return;
        }
        if let Some(receiver) = &mut one.receiver {
            act(receiver, now);
            self.settle(peer);
        }
    }

    fn settle(&mut self, peer: usize) {
        let now = self.now;
        while let Some(event) = self.receiver(peer).poll_event() {
            self.receiver_event(peer, event);
        }
        if let Some(mut report) = self.receiver(peer).poll_report(now) {
            if matches!(self.peers[peer].behaviour, Behaviour::OverRequests | Behaviour::ClaimsForgery) {
                self.falsify(peer, &mut report);
            }
            let delay = Duration::from_micros(500 + self.rng.below(4000));
            self.push(delay, Action::Report(peer, report));
        }
        let timeout = self.receiver(peer).poll_timeout();
        if let Some(at) = timeout.filter(|at| self.peers[peer].timer.is_none_or(|timer| *at < timer)) {
            self.peers[peer].timer = Some(at);
            self.push(at.saturating_duration_since(now), Action::Wake(peer));
        }
    }

    fn falsify(&self, peer: usize, report: &mut Report) {
        if self.peers[peer].behaviour == Behaviour::ClaimsForgery {
            report.status = ReceiverStatus::AwaitingKey;
            return;
        }
        report.received = report.expected;
        report.status = ReceiverStatus::Listening;
        let most = self.announcement.layout().repair_symbols();
        report.deficits.iter_mut().for_each(|deficit| deficit.missing = deficit.missing.min(most));
    }

    fn receiver_event(&mut self, peer: usize, event: ReceiverEvent) {
        let now = self.now;
        match event {
            ReceiverEvent::Assemble(assembly) => {
                let held = self.receiver(peer).held_bytes();
                self.peers[peer].most_held = self.peers[peer].most_held.max(held);
                self.receiver(peer).handle_assembled(now, assembly.run());
            }
            ReceiverEvent::Block { offset, bytes } => {
                self.peers[peer].bytes[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
            }
            ReceiverEvent::Fetch(ranges) => {
                let delay = Duration::from_micros(5000 + self.rng.below(20_000));
                ranges.into_iter().for_each(|range| self.push(delay, Action::Unicast(peer, range)));
            }
            ReceiverEvent::Left(why) => {
                self.peers[peer].left = Some(why);
                self.peers[peer].unicast_before = self.peers[peer].unicast_bytes;
            }
            ReceiverEvent::Done => self.peers[peer].done += 1,
            ReceiverEvent::Failed { block } => panic!("{} got a wrong block {block}", self.peers[peer].name),
        }
    }

    fn receiver(&mut self, peer: usize) -> &mut Receiver {
        self.peers[peer].receiver.as_mut().unwrap()
    }
}
