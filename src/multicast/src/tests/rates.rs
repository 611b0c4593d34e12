//! The rate: what makes it fall, what does not, and what it comes to on networks.

use super::super::rate::Rate;
use super::super::*;
use super::net::{Link, Net, peer};
use super::{announce, object, rate};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

fn limits(cap: u64) -> RateLimits {
    RateLimits::up_to(NonZeroU64::new(cap).unwrap())
}

/// A rate of up to 1000 that is judged each 400 ms.
struct Judged {
    rate: Rate,
    now: Instant,
}

impl Judged {
    fn new() -> Self {
        Self { rate: Rate::new(limits(1000)), now: Instant::now() }
    }

    fn by(&mut self, losses: &[f64]) -> f64 {
        self.now += Duration::from_millis(400);
        self.rate.judge(self.now, &mut losses.to_vec());
        self.rate.bytes_per_second().round()
    }
}

#[test]
fn it_falls_where_many_lose_not_where_one_does_and_comes_back() {
    let start = Instant::now();
    let mut rate = Rate::new(limits(1000));
    let mut judge = |millis, losses: &[f64]| {
        rate.judge(start + Duration::from_millis(millis), &mut losses.to_vec());
        rate.bytes_per_second().round()
    };
    let one_of_twenty = [&[0.0; 19][..], &[0.5]].concat();
    let three_of_twenty = [&[0.0; 17][..], &[0.5; 3]].concat();
    assert_eq!(judge(0, &one_of_twenty), 1000.0, "never above the cap");
    assert_eq!(judge(200, &three_of_twenty), 700.0);
    assert_eq!(judge(400, &three_of_twenty), 700.0, "not twice for one congestion");
    assert_eq!(judge(600, &three_of_twenty), 490.0);
    assert_eq!(judge(800, &[0.01; 20]), 490.0, "neither good nor bad");
    assert_eq!(judge(1000, &one_of_twenty), 540.0);
    assert_eq!(judge(1200, &[]), 540.0);
    assert_eq!((2..40).map(|step| judge(step * 1000, &[1.0])).last(), Some(50.0), "never below the floor");
}

#[test]
fn a_loss_that_stays_as_the_rate_falls_is_the_path_s_own() {
    let mut judged = Judged::new();
    assert_eq!([0.06, 0.05, 0.048].map(|loss| judged.by(&[loss])), [700.0, 490.0, 490.0]);
    assert_eq!(judged.rate.path_loss(), 0.048);
    assert_eq!(judged.rate.loss(), Some(0.048));
    assert_eq!(judged.by(&[0.06]), 490.0, "neither good nor bad");
    assert_eq!(judged.by(&[0.05]), 540.0, "hardly more than ever");
    assert_eq!(judged.by(&[0.07]), 378.0, "two percent more");
}

#[test]
fn a_loss_that_falls_with_the_rate_is_congestion() {
    let mut judged = Judged::new();
    assert_eq!([0.10, 0.09, 0.07].map(|loss| judged.by(&[loss])), [700.0, 490.0, 343.0]);
    assert_eq!(judged.rate.path_loss(), 0.0);
    // From here on it no longer falls: one more decrease tells.
    assert_eq!([0.07, 0.07].map(|loss| judged.by(&[loss])), [240.0, 240.0]);
    assert_eq!(judged.rate.path_loss(), 0.07);
}

#[test]
fn decreases_with_good_news_between_them_tell_nothing() {
    let mut judged = Judged::new();
    assert_eq!(
        [0.05, 0.0, 0.05, 0.0, 0.05].map(|loss| judged.by(&[loss])),
        [700.0, 750.0, 525.0, 575.0, 403.0]
    );
    assert_eq!(judged.rate.path_loss(), 0.0);
}

#[test]
fn what_the_path_loses_is_forgotten_as_less_is_lost_and_not_learnt_beyond_use() {
    let mut judged = Judged::new();
    assert_eq!([0.06; 3].map(|loss| judged.by(&[loss])), [700.0, 490.0, 490.0]);
    assert_eq!(judged.rate.path_loss(), 0.06);
    assert_eq!((0..30).map(|_| judged.by(&[0.0])).last(), Some(1000.0));
    assert!(judged.rate.path_loss() < 0.002, "{}", judged.rate.path_loss());
    assert_eq!(judged.by(&[0.06]), 700.0);
    let mut judged = Judged::new();
    assert_eq!((0..12).map(|_| judged.by(&[0.9])).last(), Some(50.0), "a rate far too high");
    assert_eq!(judged.rate.path_loss(), 0.0);
}

#[test]
fn a_cap_that_changes_leaves_its_part_to_the_rate() {
    let mut judged = Judged::new();
    judged.by(&[0.5]);
    judged.rate.limit(limits(500));
    assert_eq!(judged.rate.bytes_per_second().round(), 350.0);
    judged.rate.limit(limits(2000));
    assert_eq!(judged.rate.bytes_per_second().round(), 1400.0);
    judged.rate.limit(RateLimits::fixed(NonZeroU64::new(100).unwrap()));
    assert_eq!(judged.rate.bytes_per_second(), 100.0);
}

#[test]
fn a_sender_keeps_to_a_cap_that_changes() {
    let object = object(100 * 64 * 64, 1);
    let (announcement, start) = (announce(&object, 64, 64, 16), Instant::now());
    let mut sender = Sender::new(&announcement, RateLimits::up_to(rate()), ["n1".parse().unwrap()], start);
    let sent_till = |sender: &mut Sender, seconds: u64| {
        let now = start + Duration::from_millis(seconds * 30);
        let symbols = std::iter::from_fn(|| sender.poll_transmit(now))
            .filter(|sent| matches!(sent, Transmit::Symbol(_)));
        symbols.count() as f64
    };
    let before = sent_till(&mut sender, 1);
    sender.limit(start + Duration::from_millis(30), limits(rate().get() / 4));
    let after = sent_till(&mut sender, 2);
    assert!((after * 4.0 / before - 1.0).abs() < 0.05, "{before} {after}");
    assert_eq!(sender.source_symbols_sent() as f64, before + after);
    assert_eq!((sender.active_nodes(), sender.demoted_nodes(), sender.repair_symbols_sent()), (1, 0, 0));
    assert!(!sender.is_source_out() && sender.loss().is_none());
}

/// The mean rate of the second half of a transfer, as a part of the cap.
fn comes_to(seed: u64, loss: f64, through: Option<f64>) -> f64 {
    let object = object(100 * 1024 * 64, seed);
    let announcement = announce(&object, 64, 1024, 256);
    let peers = (0..6).map(|number| peer(number, Link { loss, ..Link::default() })).collect();
    let cap = rate().get() as f64;
    let net = Net::new(seed, object, announcement, peers);
    let net = if let Some(part) = through { net.behind_bottleneck(cap * part) } else { net }.run();
    assert!(!net.events.contains(&SenderEvent::GaveUp));
    let half = &net.rates[net.rates.len() / 2..];
    let mean = half.iter().sum::<f64>() / half.len() as f64 / cap;
    println!(
        "seed {seed}, {loss} lost, bottleneck {through:?}: {mean:.3} of the cap, {:.3} symbols",
        net.ratio()
    );
    mean
}

#[test]
fn what_a_path_loses_by_chance_leaves_the_rate_near_the_cap() {
    for (seed, loss) in [(40, 0.05), (41, 0.01), (42, 0.10)] {
        assert!(comes_to(seed, loss, None) > 0.85);
    }
}

#[test]
fn a_bottleneck_of_half_the_cap_leaves_near_half() {
    for (seed, loss) in [(43, 0.0), (44, 0.03)] {
        let mean = comes_to(seed, loss, Some(0.5));
        assert!((0.35..0.55).contains(&mean), "{mean}");
    }
}
