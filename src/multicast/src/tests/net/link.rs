//! Random numbers, and what a link does with datagrams.

use std::time::Instant;

/// SplitMix64.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn chance(&mut self, part: f64) -> bool {
        self.part() < part
    }

    pub(crate) fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// The link to one receiver.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Link {
    /// Of all datagrams.
    pub(crate) loss: f64,
    /// How long losses are on average; at 1 or less they are independent.
    pub(crate) burst: f64,
    pub(crate) reordered: f64,
    pub(crate) duplicated: f64,
}

/// A bottleneck on the way to all: what comes faster than it forwards is queued, and dropped where the queue is full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bottleneck {
    pub(crate) bytes_per_second: f64,
    queued_bytes: f64,
    at: Instant,
}

impl Bottleneck {
    /// What a small switch queues, in terms of time.
    const QUEUE_SECONDS: f64 = 0.02;

    pub(super) fn new(bytes_per_second: f64, now: Instant) -> Self {
        Self { bytes_per_second, queued_bytes: 0.0, at: now }
    }

    pub(super) fn passes(&mut self, now: Instant, bytes: usize) -> bool {
        let forwarded = (now - self.at).as_secs_f64() * self.bytes_per_second;
        self.at = now;
        self.queued_bytes = (self.queued_bytes - forwarded).max(0.0);
        let room = self.queued_bytes + bytes as f64 <= self.bytes_per_second * Self::QUEUE_SECONDS;
        self.queued_bytes += if room { bytes as f64 } else { 0.0 };
        room
    }
}
