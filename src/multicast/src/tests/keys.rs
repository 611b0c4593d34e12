//! New keys in the middle of a session: for whom, from when, and what forgers make of it.

use super::super::wire::Sealer;
use super::super::*;
use super::hostile::{SYMBOL, first_symbol, report, sender, session};
use super::net::{Attack, Behaviour, Link, Net, Object, Peer, Rng, peer};
use bootstash_base::names::NodeName;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

const BLOCKS: usize = 120;

fn net(seed: u64, peers: Vec<Peer>) -> Net {
    let (object, announcement) = session(BLOCKS * 64 * usize::from(SYMBOL));
    Net::new(seed, object, announcement, peers)
}

fn peers(count: usize) -> Vec<Peer> {
    (0..count).map(|number| peer(number, Link { loss: 0.01, ..Link::default() })).collect()
}

fn noise(rng: &mut Rng) -> Vec<u8> {
    (0..SYMBOL).map(|_| rng.next() as u8).collect()
}

/// Forges the sixth symbol of every `nth` block, with the key it knows: the first, or always the one in use.
fn forger(known: Rc<RefCell<Announcement>>, nth: u8) -> Attack {
    Box::new(move |rng, good| {
        let (block, index) = (good[11], u16::from_be_bytes([good[14], good[15]]));
        let hit = good[8] == 0 && index == 5 && block.is_multiple_of(nth);
        let forge = || {
            let mut sealer = Sealer::new(&known.borrow()).unwrap();
            sealer.symbol(Position { block: block.into(), index }, &noise(rng)).unwrap()
        };
        hit.then(forge).into_iter().collect()
    })
}

/// Knows the key that the session began with, and no other.
fn first_key(net: &Net) -> Rc<RefCell<Announcement>> {
    Rc::new(RefCell::new(net.key().borrow().clone()))
}

fn count(net: &Net, is: impl Fn(&SenderEvent) -> bool) -> usize {
    net.events.iter().filter(|event| is(event)).count()
}

fn switches(net: &Net) -> usize {
    count(net, |event| matches!(event, SenderEvent::Rekeyed { .. }))
}

fn part_by_unicast(peer: &Peer) -> f64 {
    peer.unicast_bytes as f64 / peer.bytes.len() as f64
}

#[test]
fn a_forger_is_locked_out_by_a_new_key_and_all_finish_by_multicast() {
    let net = net(30, peers(8));
    let attack = forger(first_key(&net), 4);
    let net = net.attacked_by(attack).run();
    assert_eq!(switches(&net), 1);
    assert!(!net.events.contains(&SenderEvent::GaveUp));
    for (number, peer) in net.peers.iter().enumerate() {
        let bad = peer.receiver.as_ref().unwrap().counters().bad_blocks;
        assert_eq!((net.demoted(number), peer.left), (None, None));
        assert!((2..10).contains(&bad), "{bad}");
        // Blocks that were forged, and nothing else.
        assert!(peer.unicast_bytes <= u64::from(bad) * 64 * u64::from(SYMBOL), "{}", peer.unicast_bytes);
    }
    assert!(net.refused.is_empty(), "{:?}", net.refused);
}

#[test]
fn what_a_forger_sent_ahead_takes_no_room_once_it_is_locked_out() {
    let net = net(31, peers(4));
    let first = first_key(&net);
    let mut near = forger(first.clone(), 2);
    let mut ahead = Some(Sealer::new(&first.borrow()).unwrap());
    // All that a receiver may hold open, far beyond where the sender is.
    let attack = move |rng: &mut Rng, good: &[u8]| {
        let mut forged = near(rng, good);
        if let Some(mut sealer) = ahead.take_if(|_| good[11] == 1) {
            let far = (30..BLOCKS as u32).map(|block| Position { block, index: 9 });
            forged.extend(far.map(|at| sealer.symbol(at, &noise(rng)).unwrap()));
        }
        forged
    };
    let net = net.attacked_by(Box::new(attack)).run();
    assert_eq!(switches(&net), 1);
    for peer in &net.peers {
        // Till the first forged blocks are whole, which is at the thirtieth, there is room for no other.
        assert!(peer.left.is_none() && part_by_unicast(peer) < 0.35, "{}", part_by_unicast(peer));
    }
}

#[test]
fn a_forger_that_has_every_key_ends_multicast_and_changes_no_byte() {
    let net = net(32, peers(4));
    let attack = forger(net.key(), 2);
    let net = net.attacked_by(attack).run();
    assert_eq!((switches(&net), count(&net, |event| *event == SenderEvent::GaveUp)), (1, 1));
    assert!((0..4).all(|peer| net.demoted(peer) == Some(Demotion::GaveUp)));
    assert!(net.peers.iter().all(|peer| part_by_unicast(peer) > 0.3));
}

#[test]
fn who_alone_sees_forged_blocks_again_goes_alone() {
    let net = net(33, peers(4)).attacked_only_at(2);
    let attack = forger(net.key(), 2);
    let net = net.attacked_by(attack).run();
    assert!(!net.events.contains(&SenderEvent::GaveUp));
    assert_eq!(net.demoted(2), Some(Demotion::KeyCompromised));
    for other in [0, 1, 3] {
        assert_eq!((net.demoted(other), net.peers[other].unicast_bytes), (None, 0));
    }
}

#[test]
fn who_cries_wolf_costs_a_change_of_keys_and_then_itself() {
    let mut all = peers(4);
    all[2].behaviour = Behaviour::ClaimsForgery;
    let net = net(36, all).run();
    assert_eq!((switches(&net), net.demoted(2)), (1, Some(Demotion::KeyCompromised)));
    for other in [0, 1, 3] {
        assert_eq!((net.demoted(other), net.peers[other].unicast_bytes), (None, 0));
    }
}

#[test]
fn who_is_expelled_reads_no_more_and_the_others_go_on() {
    let mut all = peers(4);
    all[1].behaviour = Behaviour::ExpelledAt(Duration::from_millis(200));
    let net = net(34, all).run();
    assert_eq!(switches(&net), 1);
    let told = count(&net, |event| matches!(event, SenderEvent::Rekey { nodes } if nodes.len() == 3));
    assert_eq!(told, 1);
    assert!(net.peers[1].done == 0 && net.peers[1].left == Some(LeaveReason::HeartbeatTimeout));
    let last = net.peers[1].bytes.chunks(64 * usize::from(SYMBOL)).next_back().unwrap();
    assert!(last.iter().all(|byte| *byte == 0), "it read the end");
    assert!([0, 2, 3].iter().all(|peer| net.peers[*peer].unicast_bytes == 0));
}

#[test]
fn who_comes_while_keys_change_is_served_like_others() {
    let mut all = peers(4);
    all[1].behaviour = Behaviour::ExpelledAt(Duration::from_millis(200));
    for (late, millis) in [(2, 201), (3, 260)] {
        all[late].joins = Duration::from_millis(millis);
    }
    let net = net(35, all).run();
    assert!(
        [0, 2, 3].iter().all(|peer| net.demoted(*peer).is_none() && part_by_unicast(&net.peers[*peer]) < 0.8)
    );
}

fn alarm(announcement: &Announcement) -> Report {
    Report { status: ReceiverStatus::AwaitingKey, ..report(announcement) }
}

fn two(announcement: &Announcement, now: Instant) -> (Sender, [NodeName; 2]) {
    let (mut sender, first) = sender(announcement, now);
    let second: NodeName = "n2".parse().unwrap();
    sender.add_node(now, second.clone());
    (sender, [first, second])
}

fn events(sender: &mut Sender) -> Vec<SenderEvent> {
    std::iter::from_fn(|| sender.poll_event()).collect()
}

#[test]
fn the_new_key_is_used_once_all_have_it() {
    let (_, old) = session(100_000);
    let (now, new) = (Instant::now(), old.rekeyed().unwrap());
    let (mut sender, nodes) = two(&old, now);
    sender.handle_report(now, &nodes[0], &alarm(&old)).unwrap();
    let compromised = SenderEvent::KeyCompromised { node: nodes[0].clone() };
    assert_eq!(events(&mut sender), [compromised, SenderEvent::Rekey { nodes: nodes.to_vec() }]);
    sender.rekey(now, &new).unwrap();
    let has = Report { next_session: Some(new.session()), ..alarm(&old) };
    sender.handle_report(now, &nodes[0], &has).unwrap();
    assert_eq!(events(&mut sender), []);
    let has = Report { status: ReceiverStatus::Listening, ..has };
    sender.handle_report(now, &nodes[1], &has).unwrap();
    assert_eq!(events(&mut sender), [SenderEvent::Rekeyed { session: new.session() }]);
    // The first thing under it is a heartbeat, and what was said under the old one is taken a while longer.
    assert!(matches!(sender.poll_transmit(now), Some(Transmit::Heartbeat(_))));
    let later = now + Duration::from_secs(4);
    sender.handle_report(later, &nodes[1], &report(&old)).unwrap();
    sender.handle_report(later, &nodes[1], &alarm(&old)).unwrap();
    assert_eq!(events(&mut sender), [], "what was forged under the old key is over");
    let refused = sender.handle_report(later + Duration::from_secs(1), &nodes[1], &report(&old));
    assert!(matches!(refused, Err(ReportError::Session { .. })));
}

#[test]
fn nobody_delays_the_new_key_beyond_its_time() {
    let (_, old) = session(100_000);
    let (start, new) = (Instant::now(), old.rekeyed().unwrap());
    let (mut sender, nodes) = two(&old, start);
    sender.expel(start, &nodes[0]);
    assert_eq!(events(&mut sender), [SenderEvent::Rekey { nodes: vec![nodes[1].clone()] }]);
    assert!(matches!(
        sender.handle_report(start, &nodes[0], &report(&old)),
        Err(ReportError::UnknownNode { .. })
    ));
    let handed_in = start + Duration::from_millis(900);
    sender.rekey(handed_in, &new).unwrap();
    let until = handed_in + Duration::from_secs(1);
    sender.handle_timeout(until - Duration::from_millis(1));
    assert_eq!(events(&mut sender), []);
    assert!(sender.poll_timeout().unwrap() <= until);
    sender.handle_timeout(until);
    assert_eq!(events(&mut sender), [SenderEvent::Rekeyed { session: new.session() }]);
}

#[test]
fn without_a_new_key_multicast_is_given_up() {
    let (_, old) = session(100_000);
    let start = Instant::now();
    let (mut sender, nodes) = two(&old, start);
    sender.handle_report(start, &nodes[0], &alarm(&old)).unwrap();
    sender.handle_timeout(start + Duration::from_secs(1));
    assert!(events(&mut sender).contains(&SenderEvent::GaveUp));
}

#[test]
fn only_a_new_key_for_the_same_object_is_taken_and_only_when_asked_for() {
    let (object, old) = session(100_000);
    let (_, shorter) = session(50_000);
    let (now, new) = (Instant::now(), old.rekeyed().unwrap());
    assert!(new.session() != old.session() && new.layout() == old.layout());
    let (mut sender, nodes) = two(&old, now);
    assert!(matches!(sender.rekey(now, &new), Err(RekeyError::Unasked { .. })));
    sender.expel(now, &nodes[0]);
    assert!(matches!(sender.rekey(now, &shorter), Err(RekeyError::OtherObject { .. })));
    assert!(matches!(sender.rekey(now, &old), Err(RekeyError::NotNew { .. })));
    assert!(sender.rekey(now, &new).is_ok());
    let mut packer = Packer::new((*old).clone(), Object(Rc::new(object))).unwrap();
    assert!(matches!(packer.rekey((*shorter).clone()), Err(RekeyError::OtherObject { .. })));
    assert!(matches!(packer.rekey((*old).clone()), Err(RekeyError::NotNew { .. })));
    let symbol = Transmit::Symbol(Position { block: 0, index: 0 });
    let under_old = packer.pack(&symbol).unwrap();
    assert!(packer.pack(&symbol).is_err(), "twice under one key");
    packer.rekey(new).unwrap();
    assert!(packer.pack(&symbol).unwrap() != under_old);
    assert!(matches!(packer.rekey((*old).clone()), Err(RekeyError::NotNew { .. })), "back to the first");
}

#[test]
fn both_keys_are_taken_until_the_new_one_is_heard() {
    let (object, old) = session(100_000);
    let (now, new) = (Instant::now(), Arc::new(old.rekeyed().unwrap()));
    let mut receiver = Receiver::new(old.clone(), 0.0, now);
    let (mut by_old, mut by_new) = (Sealer::new(&old).unwrap(), Sealer::new(&new).unwrap());
    let seal = |sealer: &mut Sealer, index: u16| {
        let from = usize::from(index * SYMBOL);
        sealer.symbol(Position { block: 0, index }, &object[from..from + usize::from(SYMBOL)]).unwrap()
    };
    let give = |receiver: &mut Receiver, mut datagram: Vec<u8>| receiver.handle_datagram(now, &mut datagram);
    assert_eq!(give(&mut receiver, seal(&mut by_new, 0)), Err(Rejected::Session), "nobody told it");
    receiver.handle_instruction(&Instruction::Rekey(Box::new(session(50_000).1.rekeyed().unwrap())));
    assert_eq!(receiver.counters().wrong_keys, 1);
    receiver.handle_instruction(&Instruction::Rekey(Box::new((*new).clone())));
    assert_eq!(give(&mut receiver, seal(&mut by_old, 1)), Ok(()));
    assert_eq!(give(&mut receiver, seal(&mut by_new, 2)), Ok(()));
    assert_eq!(give(&mut receiver, seal(&mut by_old, 3)), Err(Rejected::Session));
    receiver.rekey(&new).unwrap();
    assert_eq!(give(&mut receiver, seal(&mut by_new, 4)), Ok(()), "told twice");
    assert_eq!(give(&mut receiver, first_symbol(&object, &new)), Ok(()), "refused before, so not held");
}

#[test]
fn a_key_is_read_as_it_was_written() {
    let (_, announcement) = session(100_000);
    let told = Instruction::Rekey(Box::new((*announcement).clone()));
    let text = serde_json::to_string(&told).unwrap();
    assert!(text.starts_with("{\"rekey\":{"), "{text}");
    assert_eq!(serde_json::from_str::<Instruction>(&text).unwrap(), told);
    let said = Report { next_session: Some(announcement.session()), ..alarm(&announcement) };
    let text = serde_json::to_string(&said).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), said);
}
