//! What strangers, members and broken programs may send, and what it does.

use super::super::wire::Sealer;
use super::super::*;
use super::net::{Link, Net, Object, Rng, peer};
use super::{announce, object, rate};
use bootstash_base::names::NodeName;
use proptest::prelude::*;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) const SYMBOL: u16 = 64;

pub(super) fn session(length: usize) -> (Vec<u8>, Arc<Announcement>) {
    let object = object(length, 1);
    let announcement = announce(&object, SYMBOL, 64, 16);
    (object, announcement)
}

pub(super) fn first_symbol(object: &[u8], announcement: &Announcement) -> Vec<u8> {
    let at = Position { block: 0, index: 0 };
    Sealer::new(announcement).unwrap().symbol(at, &object[..SYMBOL.into()]).unwrap()
}

#[test]
fn each_kind_of_wrong_datagram_is_refused_for_its_own_reason_and_in_order() {
    let (object, announcement) = session(100_000);
    let (_, other) = session(100_000);
    let now = Instant::now();
    let mut receiver = Receiver::new(announcement.clone(), 0.0, now);
    let good = first_symbol(&object, &announcement);
    let mut give = |datagram: &[u8]| receiver.handle_datagram(now, &mut datagram.to_vec());
    let changed = |at: usize| {
        let mut datagram = good.clone();
        datagram[at] ^= 0x80;
        datagram
    };
    let old = first_symbol(&object, &other);
    for length in (0..good.len()).chain([good.len() + 1, 1 << 16]).filter(|length| *length != 44) {
        let mut cut = good.clone();
        cut.resize(length, 0);
        assert_eq!(give(&cut), Err(Rejected::Length), "{length}");
    }
    assert_eq!(give(&old), Err(Rejected::Session), "sealed for another session");
    assert_eq!(give(&old[..old.len() - 1]), Err(Rejected::Length), "the length comes first");
    assert_eq!(give(&changed(8)), Err(Rejected::Position), "block");
    assert_eq!(give(&changed(14)), Err(Rejected::Position), "index");
    assert_eq!(give(&changed(12)), Err(Rejected::Position), "index beyond 16 bits");
    assert_eq!(give(&good[..44]), Err(Rejected::Position), "as long as a heartbeat, but a symbol's position");
    assert_eq!(give(&changed(16)), Err(Rejected::Seal), "payload");
    assert_eq!(give(&changed(good.len() - 1)), Err(Rejected::Seal), "tag");
    let mut moved = good.clone();
    moved[15] = 1;
    assert_eq!(give(&moved), Err(Rejected::Seal), "of another position");
    assert_eq!(give(&good), Ok(()));
    assert_eq!(give(&good), Err(Rejected::Held), "replayed");
    assert_eq!(give(&changed(16)), Err(Rejected::Held), "no seal is tried for what is here");
    let counters = receiver.counters();
    assert_eq!((counters.taken, counters.held, counters.wrong_seal, counters.wrong_session), (1, 2, 3, 1));
}

/// One of each, ten for each true datagram.
fn flood(old: Vec<u8>) -> impl FnMut(&mut Rng, &[u8]) -> Vec<Vec<u8>> {
    move |rng, good| {
        let mut seen = Vec::new();
        for _ in 0..5 {
            let mut forged = good.to_vec();
            let at = rng.below(forged.len() as u64) as usize;
            forged[at] ^= 1 + rng.below(255) as u8;
            seen.push(forged);
        }
        let mut noise = good.to_vec();
        noise.iter_mut().for_each(|byte| *byte = rng.next() as u8);
        let cut = good[..rng.below(good.len() as u64) as usize].to_vec();
        let ahead = [&good[..15], &[good[15].wrapping_add(1)], &good[16..]].concat();
        let far = [&good[..8], &[0, 0, 0, rng.below(40) as u8], &good[12..]].concat();
        seen.extend([noise, cut, ahead, far, old.clone()]);
        seen
    }
}

#[test]
fn a_flood_of_ten_times_the_rate_changes_nothing() {
    let (object, announcement) = session(40 * 64 * 64);
    let (old_object, old) = session(40 * 64 * 64);
    let attack = flood(first_symbol(&old_object, &old));
    let peers = (0..4).map(|number| peer(number, Link::default())).collect();
    let net = Net::new(3, object, announcement, peers).attacked_by(Box::new(attack)).run();
    assert_eq!(net.ratio(), 1.0);
    for peer in &net.peers {
        let counters = peer.receiver.as_ref().unwrap().counters();
        let refused =
            counters.wrong_length + counters.wrong_position + counters.wrong_seal + counters.wrong_session;
        assert!(refused > 9 * counters.taken && counters.wrong_seal > counters.taken, "{counters:?}");
        assert_eq!((counters.bad_blocks, peer.unicast_bytes, peer.left), (0, 0, None));
    }
}

#[test]
fn what_does_not_fit_is_not_held() {
    let object = vec![7; 20 * 1024 * 1408];
    let announcement = announce(&object, 1408, 1024, 256);
    let (mut sealer, now) = (Sealer::new(&announcement).unwrap(), Instant::now());
    let mut receiver = Receiver::new(announcement.clone(), 0.0, now);
    for block in 0..20 {
        for index in 0..1023 {
            let mut datagram = sealer.symbol(Position { block, index }, &object[..1408]).unwrap();
            receiver.handle_datagram(now, &mut datagram).unwrap();
        }
    }
    let held = receiver.held_bytes();
    assert!(held > 8_000_000 && held < 22_000_000, "{held}");
    assert!(receiver.counters().without_room > 1000);
}

pub(super) fn sender(announcement: &Announcement, now: Instant) -> (Sender, NodeName) {
    let node: NodeName = "n1".parse().unwrap();
    (Sender::new(announcement, RateLimits::up_to(rate()), [node.clone()], now), node)
}

pub(super) fn report(announcement: &Announcement) -> Report {
    Report {
        session: announcement.session(),
        next_session: None,
        status: ReceiverStatus::Listening,
        heartbeat: None,
        expected: 0,
        received: 0,
        deficits: Vec::new(),
    }
}

#[test]
fn a_report_that_cannot_be_true_is_refused_and_counts_for_nothing() {
    let (_, announcement) = session(100_000);
    let now = Instant::now();
    let good = report(&announcement);
    let deficit = |block, missing, repair_seen| vec![Deficit { block, missing, repair_seen }];
    let cases = [
        ("beat", Report { heartbeat: Some(3), ..good.clone() }),
        ("more symbols", Report { expected: 1, ..good.clone() }),
        ("more symbols", Report { received: 1, ..good.clone() }),
        ("not sent yet", Report { deficits: deficit(0, 1, 0), ..good.clone() }),
        ("not sent yet", Report { deficits: deficit(u32::MAX, 1, 0), ..good.clone() }),
        ("more blocks", Report { deficits: deficit(0, 1, 0).repeat(65), ..good.clone() }),
        ("session", Report { session: session(1).1.session(), ..good.clone() }),
    ];
    for (what, report) in cases {
        let (mut sender, node) = sender(&announcement, now);
        let error = sender.handle_report(now, &node, &report).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
        assert_eq!(sender.poll_event(), None);
    }
    let (mut sender, node) = sender(&announcement, now);
    let stranger = "n2".parse().unwrap();
    assert!(matches!(sender.handle_report(now, &stranger, &good), Err(ReportError::UnknownNode { .. })));
    assert!((0..4).all(|_| sender.handle_report(now, &node, &good).is_ok()));
    assert!(matches!(sender.handle_report(now, &node, &good), Err(ReportError::TooOften { .. })));
    let later = now + announcement.report_interval();
    assert!(sender.handle_report(later, &node, &good).is_ok());
}

#[test]
fn deficits_in_blocks_that_passed_are_held_to_what_was_sent() {
    let (_, announcement) = session(100_000);
    let start = Instant::now();
    let (mut sender, node) = sender(&announcement, start);
    let later = (0..1500).map(|milli| start + Duration::from_millis(milli)).find(|now| {
        while sender.poll_transmit(*now).is_some() {}
        let heartbeat = Some(0);
        let deficits = vec![Deficit { block: 1, missing: 3, repair_seen: 0 }];
        let asks = Report { heartbeat, deficits, ..report(&announcement) };
        sender.handle_report(*now, &node, &asks).is_ok()
    });
    let now = later.unwrap() + announcement.report_interval();
    for (missing, repair_seen) in [(0, 0), (65, 0), (u16::MAX, 0), (1, 17), (1, u16::MAX)] {
        let deficits = vec![Deficit { block: 1, missing, repair_seen }];
        let lie = Report { deficits, ..report(&announcement) };
        let refused = sender.handle_report(
            now + announcement.report_interval() * u32::from(missing % 7 + 1),
            &node,
            &lie,
        );
        assert!(
            matches!(refused, Err(ReportError::Impossible { .. } | ReportError::TooOften { .. })),
            "{lie:?}"
        );
    }
}

#[test]
fn a_report_that_the_last_one_overtook_keeps_nobody_waiting() {
    let (_, announcement) = session(64);
    let start = Instant::now();
    let (mut sender, node) = sender(&announcement, start);
    let done = Report { status: ReceiverStatus::Done, ..report(&announcement) };
    for late in [done, report(&announcement)] {
        sender.handle_report(start, &node, &late).unwrap();
    }
    sender.handle_timeout(start + announcement.report_interval());
    assert_eq!(sender.poll_event(), Some(SenderEvent::Finished));
}

#[test]
fn at_the_end_heartbeats_go_on_until_everybody_can_be_told_or_for_a_second() {
    let (_, announcement) = session(64);
    let start = Instant::now();
    for (answers, lasts, heartbeats_then) in [(true, 40, 1..=4), (false, 1020, 90..=110)] {
        let (mut sender, node) = sender(&announcement, start);
        let heartbeats = |sender: &mut Sender, now| {
            let sent = std::iter::from_fn(|| sender.poll_transmit(now)).collect::<Vec<_>>();
            sent.iter().filter(|transmit| matches!(transmit, Transmit::Heartbeat(_))).count()
        };
        let mut millis = (0..).map(|milli| start + Duration::from_millis(milli));
        let gave_up = millis.find(|now| {
            heartbeats(&mut sender, *now);
            // Alive, but it never has all.
            drop(sender.handle_report(*now, &node, &report(&announcement)));
            std::iter::from_fn(|| sender.poll_event())
                .any(|event| matches!(event, SenderEvent::Demoted { .. }))
        });
        if answers {
            let now = gave_up.unwrap() + Duration::from_millis(20);
            sender.handle_report(now, &node, &report(&announcement)).unwrap();
        }
        let received: usize = (0..lasts).map(|_| heartbeats(&mut sender, millis.next().unwrap())).sum();
        assert!(heartbeats_then.contains(&received), "{received}");
        assert_eq!(sender.poll_event(), Some(SenderEvent::Finished), "{answers}");
        assert_eq!(sender.poll_timeout(), None);
    }
}

#[test]
fn a_session_that_ended_as_stalled_is_not_given_up_for_the_outlier_it_had() {
    let (_, announcement) = session(64 * 64);
    let start = Instant::now();
    let nodes: [NodeName; 4] = ["n1", "n2", "n3", "n4"].map(|name| name.parse().unwrap());
    let mut sender = Sender::new(&announcement, RateLimits::up_to(rate()), nodes.clone(), start);
    let mut events = Vec::new();
    for now in (0..1300).map(|step| start + Duration::from_millis(step * 10)) {
        while sender.poll_transmit(now).is_some() {}
        for node in &nodes {
            // One loses all; the others lose nothing, and yet never have all.
            let received = if *node == nodes[0] { 0 } else { 64 };
            sender.handle_report(now, node, &Report { expected: 64, received, ..report(&announcement) }).ok();
        }
        events.extend(std::iter::from_fn(|| sender.poll_event()));
    }
    let demoted = |number: usize, why| SenderEvent::Demoted { node: nodes[number].clone(), why };
    let mut expected = vec![demoted(0, Demotion::Outlier)];
    expected.extend((1..4).map(|number| demoted(number, Demotion::Stalled)));
    expected.push(SenderEvent::Finished);
    assert_eq!(events, expected);
}

#[test]
fn a_file_that_changed_is_not_sent() {
    let (mut object, announcement) = session(10_000);
    object[9_999] ^= 1;
    let mut packer = Packer::new((*announcement).clone(), Object(Rc::new(object))).unwrap();
    let mut pack = |block| packer.pack(&Transmit::Symbol(Position { block, index: 0 }));
    assert!(pack(0).is_ok());
    assert!(matches!(pack(2), Err(PackError::Changed { block: 2, .. })));
}

#[test]
fn no_position_is_sealed_twice() {
    let (_, announcement) = session(10_000);
    let mut sealer = Sealer::new(&announcement).unwrap();
    let mut seal = |block, index| sealer.symbol(Position { block, index }, &[0; 64]);
    assert!(seal(0, 0).is_ok() && seal(0, 3).is_ok() && seal(1, 3).is_ok());
    for (block, index) in [(0, 3), (0, 0), (0, 2), (1, 3), (3, 0), (0, u16::MAX)] {
        assert!(matches!(seal(block, index), Err(SealError::Twice { .. })), "{block} {index}");
    }
    let heartbeat = Heartbeat { number: 4, blocks_sent: 0, symbols_sent: 0 };
    assert!(sealer.heartbeat(&heartbeat).is_ok() && sealer.heartbeat(&heartbeat).is_err());
}

/// Any report that has the right form.
fn any_report() -> impl Strategy<Value = Report> {
    let status = prop_oneof![
        4 => Just(ReceiverStatus::Listening),
        1 => Just(ReceiverStatus::AwaitingKey),
        1 => Just(ReceiverStatus::HeartbeatTimeout),
        1 => Just(ReceiverStatus::KeyCompromised),
        1 => Just(ReceiverStatus::Done),
    ];
    let number = || prop_oneof![0_u64..200, any::<u64>()];
    let small = || prop_oneof![0_u16..80, any::<u16>()];
    let deficit = (prop_oneof![0_u32..30, any::<u32>()], small(), small());
    let deficits = proptest::collection::vec(deficit, 0..70);
    let heartbeat = proptest::option::of(prop_oneof![0_u32..20, any::<u32>()]);
    let (_, announcement) = session(1);
    (status, heartbeat, number(), number(), deficits).prop_map(
        move |(status, heartbeat, expected, received, deficits)| {
            let deficits = deficits.into_iter();
            let deficits =
                deficits.map(|(block, missing, repair_seen)| Deficit { block, missing, repair_seen });
            Report {
                status,
                heartbeat,
                expected,
                received,
                deficits: deficits.collect(),
                ..report(&announcement)
            }
        },
    )
}

proptest! {
    /// Whatever is reported: each symbol goes out once, and none that there is not; and there is an end.
    #[test]
    fn no_report_makes_the_sender_send_a_symbol_twice(
        reports in proptest::collection::vec((0_u64..40, any_report()), 0..60),
    ) {
        let (_, announcement) = session(100_000);
        let (start, layout) = (Instant::now(), *announcement.layout());
        let (mut sender, node) = sender(&announcement, start);
        let (mut now, mut sealer) = (start, Sealer::new(&announcement).unwrap());
        let mut sent = |sender: &mut Sender, now| {
            while let Some(transmit) = sender.poll_transmit(now) {
                if let Transmit::Symbol(at) = transmit {
                    assert!(at.block < layout.blocks() && at.index < layout.symbols(at.block), "{at:?}");
                    sealer.symbol(at, &[0; 64]).unwrap();
                }
            }
        };
        for (wait, mut report) in reports {
            now += Duration::from_millis(wait);
            report.session = announcement.session();
            drop(sender.handle_report(now, &node, &report));
            sent(&mut sender, now);
        }
        let end = now + Duration::from_secs(60);
        while let Some(at) = sender.poll_timeout() {
            prop_assert!(at < end, "no end in sight");
            sent(&mut sender, at);
        }
        let finished = std::iter::from_fn(|| sender.poll_event()).filter(|event| *event == SenderEvent::Finished);
        prop_assert_eq!(finished.count(), 1);
    }

    /// Whatever comes: it is refused, or was sealed by the sender.
    #[test]
    fn no_datagram_but_the_sender_s_is_taken(
        noise in proptest::collection::vec(any::<u8>(), 0..200),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let (object, announcement) = session(10_000);
        let now = Instant::now();
        let mut receiver = Receiver::new(announcement.clone(), 0.0, now);
        let good = first_symbol(&object, &announcement);
        let mut changed = good.clone();
        edits.iter().for_each(|(at, byte)| *at.get_mut(&mut changed) = *byte);
        prop_assert!(receiver.handle_datagram(now, &mut noise.clone()).is_err());
        prop_assert_eq!(receiver.handle_datagram(now, &mut changed.clone()).is_ok(), changed == good);
    }
}
