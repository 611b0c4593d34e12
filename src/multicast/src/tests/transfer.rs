//! What arrives, and what it costs, on networks from clean to hopeless.

use super::super::*;
use super::net::{Behaviour, Link, Net, Peer, Rng, peer};
use super::{announce, object};
use std::time::Duration;

fn lossy(loss: f64) -> Link {
    Link { loss, ..Link::default() }
}

fn peers(count: usize, link: Link) -> Vec<Peer> {
    (0..count).map(|number| peer(number, link)).collect()
}

/// Blocks of the usual 1024 and 256 symbols, which are short so that many receivers are quick.
fn usual(seed: u64, blocks: usize, peers: Vec<Peer>) -> Net {
    let object = object(blocks * 1024 * 64 - 1000, seed);
    let announcement = announce(&object, 64, 1024, 256);
    Net::new(seed, object, announcement, peers)
}

/// Blocks of 64 and 16 symbols.
fn small(seed: u64, blocks: usize, peers: Vec<Peer>) -> Net {
    let object = object(blocks * 64 * 64 - 77, seed);
    let announcement = announce(&object, 64, 64, 16);
    Net::new(seed, object, announcement, peers)
}

/// The symbols to be expected, over source symbols: what the unluckiest of `nodes` lacks of a block, exactly
/// (the mean of the maximum of as many negative binomials), and half a percent.
fn formula(source: i32, nodes: i32, loss: f64) -> f64 {
    let enough = |more: i32| at_most(more, source + more, loss).powi(nodes);
    let more: f64 = (0..source).map(|more| 1.0 - enough(more)).sum();
    1.005 + more / f64::from(source)
}

/// The chance that of `sent` symbols no more than `lost` get lost.
fn at_most(lost: i32, sent: i32, loss: f64) -> f64 {
    let mut term = (1.0 - loss).powi(sent);
    let mut sum = term;
    for count in 1..=lost {
        term *= f64::from(sent - count + 1) / f64::from(count) * loss / (1.0 - loss);
        sum += term;
    }
    sum.min(1.0)
}

fn unicast_bytes(net: &Net) -> u64 {
    net.peers.iter().map(|peer| peer.unicast_bytes).sum()
}

fn costs_what_the_formula_says(seed: u64, nodes: i32, blocks: usize, loss: f64) {
    let net = usual(seed, blocks, peers(nodes as usize, lossy(loss))).run();
    let (ratio, most) = (net.ratio(), formula(1024, nodes, loss));
    println!("{nodes} nodes, {loss} lost: {ratio:.4} symbols per source symbol, at most {most:.4}");
    assert!(ratio <= most, "{ratio} > {most}");
    // Beats are little beside symbols, which are short here.
    let wire = net.wire_bytes as f64 / (blocks as f64 * 1024.0 * 138.0);
    assert!(wire <= most * 1.002, "{wire} > {most}");
    assert!(ratio >= 1.0 + loss * 0.8, "{ratio}: less than was lost");
    assert_eq!(unicast_bytes(&net), 0);
}

#[test]
fn without_loss_each_symbol_goes_out_once() {
    for nodes in [1, 8] {
        let net = usual(1, 5, peers(nodes, Link::default())).run();
        assert_eq!((net.ratio(), unicast_bytes(&net)), (1.0, 0));
        assert!(net.refused.is_empty(), "{:?}", net.refused);
    }
}

#[test]
fn one_node_gets_what_it_lost() {
    costs_what_the_formula_says(2, 1, 8, 0.01);
    costs_what_the_formula_says(3, 1, 8, 0.05);
}

#[test]
fn eight_nodes_share_their_repair() {
    costs_what_the_formula_says(4, 8, 8, 0.01);
    costs_what_the_formula_says(5, 8, 8, 0.05);
}

#[test]
fn two_hundred_nodes_share_their_repair() {
    costs_what_the_formula_says(6, 200, 2, 0.01);
}

#[test]
fn a_thousand_nodes_share_their_repair() {
    let object = object(3 * 256 * 64, 7);
    let announcement = announce(&object, 64, 256, 64);
    let net = Net::new(7, object, announcement, peers(1000, lossy(0.01))).run();
    let (ratio, most) = (net.ratio(), formula(256, 1000, 0.01));
    println!("1000 nodes: {ratio:.4} symbols per source symbol, at most {most:.4}");
    assert!(ratio <= most, "{ratio} > {most}");
    assert_eq!(unicast_bytes(&net), 0);
}

#[test]
fn reordered_and_duplicated_datagrams_cost_next_to_nothing() {
    let link = Link { reordered: 0.2, duplicated: 0.1, ..Link::default() };
    let net = usual(8, 6, peers(8, link)).run();
    assert_eq!((net.ratio(), unicast_bytes(&net)), (1.0, 0));
}

/// Independent and bursty, from nothing to what no repair makes up for; reordered and duplicated besides.
#[test]
fn whatever_is_lost_all_get_the_object() {
    for (seed, loss) in (50..).zip([0.0, 0.01, 0.03, 0.1, 0.2, 0.3]) {
        for burst in [1.0, 8.0, 30.0] {
            let link = Link { loss, burst, reordered: 0.1, duplicated: 0.05 };
            let net = small(seed, 80, peers(6, link)).run();
            let gave_up = net.events.contains(&SenderEvent::GaveUp);
            let part = unicast_bytes(&net) as f64 / (net.peers[0].bytes.len() * net.peers.len()) as f64;
            println!(
                "seed {seed}, {loss} lost in {burst}: {:.3} symbols, {part:.3} by unicast, {gave_up}",
                net.ratio()
            );
            // At most all repair there is.
            assert!(net.ratio() <= 1.2501 && (loss > 0.0 || net.ratio() == 1.0), "{}", net.ratio());
            assert!(loss > 0.01 || part < 0.05, "{part}");
        }
    }
}

#[test]
fn bursts_are_repaired_like_other_losses() {
    let net = usual(9, 8, peers(8, Link { loss: 0.03, burst: 30.0, ..Link::default() })).run();
    assert!(net.ratio() < 1.25, "{}", net.ratio());
}

#[test]
fn who_loses_far_more_than_others_costs_them_little_and_gets_only_what_it_lost() {
    let mut all = peers(8, lossy(0.005));
    all[7].link = lossy(0.3);
    let net = usual(10, 30, all).run();
    assert_eq!(net.demoted(7), Some(Demotion::Outlier));
    assert!((0..7).all(|peer| net.demoted(peer).is_none()));
    println!("one straggler: {:.4} symbols, {} bytes by unicast", net.ratio(), unicast_bytes(&net));
    assert!(net.ratio() < 1.05, "{}", net.ratio());
    assert!(unicast_bytes(&net) < 30 * 65_536 * 45 / 100, "{}", unicast_bytes(&net));
}

#[test]
fn where_all_lose_too_much_multicast_is_given_up() {
    let net = small(11, 300, peers(8, lossy(0.3))).run();
    assert!(net.events.contains(&SenderEvent::GaveUp), "{} events", net.events.len());
    // Told so, not by two seconds of silence.
    let early = |peer: &Peer| peer.left.is_none() || peer.unicast_before > peer.unicast_bytes / 2;
    assert!(net.peers.iter().all(early));
}

#[test]
fn who_hears_nothing_goes_on_by_unicast_alone() {
    let mut all = peers(3, lossy(0.01));
    all[1].link = lossy(1.0);
    let net = usual(12, 40, all).run();
    assert_eq!(net.peers[1].left, Some(LeaveReason::HeartbeatTimeout));
    assert_eq!(net.demoted(1), Some(Demotion::HeartbeatTimeout));
    assert_eq!(net.peers[1].unicast_bytes, net.peers[1].bytes.len() as u64);
    assert_eq!(net.peers[0].unicast_bytes + net.peers[2].unicast_bytes, 0);
}

#[test]
fn who_comes_late_fetches_what_it_missed_and_no_more() {
    let mut all = peers(4, lossy(0.01));
    all[3].joins = Duration::from_millis(900);
    let net = usual(13, 20, all).run();
    let (fetched, all) = (net.peers[3].unicast_bytes, net.peers[3].bytes.len() as u64);
    assert!(fetched > 0 && fetched < all * 2 / 3, "{fetched} of {all}");
    assert_eq!(unicast_bytes(&net), fetched);
    assert!(net.ratio() < 1.03, "{}", net.ratio());
}

#[test]
fn who_dies_is_not_waited_for() {
    let mut all = peers(4, lossy(0.01));
    all[2].behaviour = Behaviour::CrashesAfter(Duration::from_millis(300));
    let net = usual(14, 6, all).run();
    assert_eq!(net.demoted(2), Some(Demotion::ReportTimeout));
}

#[test]
fn who_asks_for_more_than_it_lost_is_sent_away() {
    let mut all = peers(8, lossy(0.005));
    // It loses so much that no block is whole: it may lie about each.
    all[0].behaviour = Behaviour::OverRequests;
    all[0].link = lossy(0.4);
    let net = usual(15, 40, all).run();
    println!("one liar: {:.4} symbols per source symbol", net.ratio());
    assert_eq!(net.demoted(0), Some(Demotion::Outlier));
    assert!(net.ratio() < 1.12, "{}", net.ratio());
    assert!(net.peers[1..].iter().all(|peer| peer.unicast_bytes == 0));
}

/// Each seed is another network, with other nodes on it.
#[test]
fn on_any_network_every_honest_node_gets_the_object() {
    for seed in 100..140 {
        let mut rng = Rng::new(seed);
        let all = (0..8).map(|number| anyone(number, &mut rng)).collect();
        let net = small(seed, 10 + rng.below(60) as usize, all).run();
        let most = net.peers.iter().map(|peer| peer.most_held).max();
        assert!(most.unwrap() <= HELD_BYTES_MAX);
    }
}

fn anyone(number: usize, rng: &mut Rng) -> Peer {
    let link = Link {
        loss: [0.0, 0.01, 0.05, 0.3][rng.below(4) as usize] * rng.part(),
        burst: rng.part() * 20.0,
        reordered: rng.part() * 0.2,
        duplicated: rng.part() * 0.1,
    };
    let mut one = peer(number, link);
    match rng.below(8) {
        0 => one.joins = Duration::from_millis(1 + rng.below(500)),
        1 => one.behaviour = Behaviour::CrashesAfter(Duration::from_millis(rng.below(500))),
        2 => one.behaviour = Behaviour::OverRequests,
        _ => {}
    }
    one
}
