//! When a report is due, and what loss it reports.

use crate::wire::Heartbeat;
use std::time::{Duration, Instant};

/// Fewer symbols do not tell a loss.
const SYMBOLS_MIN: u64 = 64;

/// Symbols that were sent, and of them received.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    sent: u64,
    received: u64,
}

#[derive(Debug)]
pub(super) struct Reports {
    interval: Duration,
    /// Up to a quarter of the interval, by node: reports do not all come at once.
    delay: Duration,
    due_at: Option<Instant>,
    last_at: Instant,
    received: u64,
    at_heartbeat: Count,
    reported: Count,
}

/// What a report says of symbols; zero where they were too few.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reception {
    pub(super) expected: u64,
    pub(super) received: u64,
}

impl Reports {
    /// `jitter` is from 0 to 1.
    pub(super) fn new(interval: Duration, jitter: f64, now: Instant) -> Self {
        Self {
            interval,
            delay: interval.mul_f64(jitter.clamp(0.0, 1.0) / 4.0),
            due_at: None,
            last_at: now,
            received: 0,
            at_heartbeat: Count::default(),
            reported: Count::default(),
        }
    }

    pub(super) fn due_at(&self) -> Option<Instant> {
        self.due_at
    }

    /// One is due now.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.due_at = Some(now);
    }

    /// One is due an interval after the last, unless one is due already.
    pub(super) fn schedule(&mut self, now: Instant) {
        if self.due_at.is_none() {
            self.due_at = Some((self.last_at + self.interval).max(now) + self.delay);
        }
    }

    /// Whether one is due; it then counts as made.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        let due = self.due_at.is_some_and(|at| now >= at);
        if due {
            (self.due_at, self.last_at) = (None, now);
        }
        due
    }

    pub(super) fn count_symbol(&mut self) {
        self.received += 1;
    }

    /// What was sent until this heartbeat. With the first under a key counting begins anew.
    pub(super) fn count_heartbeat(&mut self, heartbeat: &Heartbeat, first: bool) {
        let sent =
            if first { heartbeat.symbols_sent } else { heartbeat.symbols_sent.max(self.at_heartbeat.sent) };
        self.at_heartbeat = Count { sent, received: self.received };
        if first {
            self.reported = self.at_heartbeat;
        }
    }

    /// What was received since the last report that said so.
    pub(super) fn take_reception(&mut self) -> Reception {
        let sent = self.at_heartbeat.sent - self.reported.sent;
        let received = self.at_heartbeat.received - self.reported.received;
        if sent < SYMBOLS_MIN {
            return Reception::default();
        }
        self.reported = self.at_heartbeat;
        Reception { expected: sent, received: received.min(sent) }
    }
}
