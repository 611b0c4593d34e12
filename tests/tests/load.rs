//! Many nodes that come back at once: every one comes in step, whatever the limits, and peers take load off
//! the registrar. On a ZFS that holds nothing; needs nothing installed.

#![allow(clippy::unwrap_used, reason = "a test")]

use bootstash_agent::follow::Intervals;
use bootstash_base::backoff::Backoff;
use bootstash_tests::load::{Fleet, Scenario, run};
use bootstash_tests::prometheus;
use std::num::NonZeroU64;
use std::time::Duration;

const INTERVALS: Intervals = Intervals {
    retry: Backoff { first: Duration::from_millis(50), longest: Duration::from_secs(1) },
    stopped_retry: Duration::from_secs(1),
    long_poll: Duration::from_secs(2),
    read_timeout: Duration::from_secs(90),
    report: Duration::from_secs(2),
    download_jitter: Duration::from_millis(200),
};
const PLAIN: Scenario = Scenario {
    nodes: 8,
    deltas: 3,
    peers: false,
    prefer_peers: false,
    downloads: 2,
    rate_bytes_per_second: None,
};

#[tokio::test(flavor = "multi_thread")]
async fn without_peers_the_registrar_sends_everything_to_few_at_once() {
    let figures = run(PLAIN, INTERVALS).await.unwrap();
    assert_eq!(figures.registrar_bytes, figures.deltas_bytes * 8, "{figures:?}");
    assert!(figures.most_downloads <= 2 && figures.peers_bytes == 0, "{figures:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_take_load_off_the_registrar() {
    let figures = run(Scenario { peers: true, prefer_peers: true, ..PLAIN }, INTERVALS).await.unwrap();
    assert_eq!(figures.registrar_bytes + figures.peers_bytes, figures.deltas_bytes * 8, "{figures:?}");
    assert!(figures.peers_bytes > figures.registrar_bytes, "{figures:?}");
    assert!(figures.most_downloads <= 2, "{figures:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_delays_and_loses_nothing_and_metrics_tell_it() {
    let rate = NonZeroU64::new(20_000_000);
    let figures = run(Scenario { nodes: 3, rate_bytes_per_second: rate, ..PLAIN }, INTERVALS).await.unwrap();
    assert_eq!(figures.registrar_bytes, figures.deltas_bytes * 3, "{figures:?}");

    let fleet = Fleet::start(1, false, INTERVALS).await.unwrap();
    fleet.limit(&Scenario { rate_bytes_per_second: rate, ..PLAIN });
    fleet.register("one").await.unwrap();
    fleet.in_step().await.unwrap();
    let text = fleet.metrics().await.unwrap();
    prometheus::parse(&text).unwrap();
    for line in [
        "bootstash_registrar_rate_limit_bytes_per_second 20000000",
        "bootstash_registrar_downloads_limit 2",
        "bootstash_registrar_downloads_refused_total 0",
        "bootstash_registrar_downloads_redirected_total 0",
        "bootstash_registrar_downloads_stalled_total 0",
        "bootstash_registrar_served_bytes_total{kind=\"delta\"} ",
        "bootstash_registrar_served_bytes_total{kind=\"full\"} ",
        "bootstash_registrar_downloads{kind=\"delta\"} ",
    ] {
        assert!(text.lines().any(|given| given.starts_with(line)), "{line}\n{text}");
    }
    fleet.stop().await.unwrap();
}
