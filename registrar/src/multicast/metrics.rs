//! What sending to all nodes counts.

use super::send_task::SessionSummary;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// The counts. Cheap to clone; clones count together.
#[derive(Clone, Debug, Default)]
pub struct MulticastMetrics {
    sessions: Family<Outcome, Counter>,
    datagrams: Family<Kind, Counter>,
    bytes: Family<Kind, Counter>,
    expelled: Family<Reason, Counter>,
    pieces_bytes: Counter,
    loss: Gauge<f64, AtomicU64>,
    rate: Gauge<f64, AtomicU64>,
}

impl MulticastMetrics {
    /// Has them shown, all at zero: the first of a kind must not look like a counter that was never there.
    pub fn register(&self, to: &mut Registry) {
        for outcome in ["stopped", "gave-up", "finished", "failed"] {
            drop(self.sessions.get_or_create(&Outcome { outcome }));
        }
        for kind in ["beat", "source", "repair"] {
            drop(self.datagrams.get_or_create(&Kind { kind }));
            drop(self.bytes.get_or_create(&Kind { kind }));
        }
        for reason in ["silent", "unheard", "poisoned", "outlier", "stalled", "gave-up"] {
            drop(self.expelled.get_or_create(&Reason { reason }));
        }
        to.register(
            "multicast_sessions",
            "Deltas that were sent to all nodes at once, by how that ended",
            self.sessions.clone(),
        );
        to.register("multicast_datagrams", "Datagrams sent to all nodes, by kind", self.datagrams.clone());
        to.register_with_unit(
            "multicast_sent",
            "Bytes of datagrams sent to all nodes, without IP and UDP, by kind",
            Unit::Bytes,
            self.bytes.clone(),
        );
        to.register(
            "multicast_expelled",
            "Nodes sent from multicast to unicast in the middle of a session, by reason",
            self.expelled.clone(),
        );
        to.register_with_unit(
            "multicast_unicast",
            "Bytes that nodes fetched one by one of what was sent to all",
            Unit::Bytes,
            self.pieces_bytes.clone(),
        );
        to.register(
            "multicast_loss_ratio",
            "What nodes lost lately of what was sent to all, the 90th percentile of them, from 0 to 1",
            self.loss.clone(),
        );
        to.register(
            "multicast_rate_bytes_per_second",
            "How fast was sent to all lately, with all headers",
            self.rate.clone(),
        );
    }

    pub(super) fn sent(&self, kind: &'static str, bytes: usize) {
        self.datagrams.get_or_create(&Kind { kind }).inc();
        self.bytes.get_or_create(&Kind { kind }).inc_by(bytes as u64);
    }

    pub(super) fn set_loss_and_rate(&self, loss: f64, bytes_per_second: f64) {
        self.loss.set(loss);
        self.rate.set(bytes_per_second);
    }

    /// Parts were fetched.
    pub fn fetched(&self, bytes: u64) {
        self.pieces_bytes.inc_by(bytes);
    }

    pub(super) fn ended(&self, summary: &SessionSummary) {
        let outcome = match &summary.outcome {
            Ok(()) if summary.stopped => "stopped",
            Ok(()) if summary.gave_up => "gave-up",
            Ok(()) => "finished",
            Err(_) => "failed",
        };
        self.sessions.get_or_create(&Outcome { outcome }).inc();
        for (reason, nodes) in &summary.demoted {
            self.expelled.get_or_create(&Reason { reason }).inc_by(*nodes);
        }
    }
}

/// What one session sent, in bytes, by kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent(BTreeMap<&'static str, u64>);

impl Sent {
    pub(super) fn add(&mut self, kind: &'static str, bytes: usize) {
        *self.0.entry(kind).or_default() += bytes as u64;
    }

    pub(super) fn bytes(&self, kind: &str) -> u64 {
        self.0.get(kind).copied().unwrap_or_default()
    }
}
