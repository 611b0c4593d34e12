//! What serving counts.

use super::Limits;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// What is downloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The difference between two snapshots.
    Delta,
    /// A whole volume, as a file or straight from ZFS.
    Full,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Label {
    kind: &'static str,
}

impl From<Kind> for Label {
    fn from(kind: Kind) -> Self {
        Self { kind: if kind == Kind::Full { "full" } else { "delta" } }
    }
}

/// Counters and gauges.
#[derive(Debug, Default)]
pub(super) struct Stats {
    served: Family<Label, Counter>,
    under_way: Family<Label, Gauge>,
    refused: Counter,
    stalled: Counter,
    limit: Gauge,
    rate_limit: Gauge,
}

impl Stats {
    pub(super) fn register(&self, to: &mut Registry) {
        self.begin_at_zero();
        to.register_with_unit(
            "served",
            "Bytes of deltas and whole volumes sent",
            Unit::Bytes,
            self.served.clone(),
        );
        to.register("downloads", "Downloads under way", self.under_way.clone());
        to.register(
            "downloads_refused",
            "Downloads refused because enough are under way",
            self.refused.clone(),
        );
        to.register(
            "downloads_stalled",
            "Downloads ended because their reader took nothing for too long",
            self.stalled.clone(),
        );
        to.register("downloads_limit", "Downloads that may be under way at once", self.limit.clone());
        to.register(
            "rate_limit_bytes_per_second",
            "What all downloads together may send, 0 for no limit",
            self.rate_limit.clone(),
        );
    }

    /// A family without its labels hides that the first of them is new.
    fn begin_at_zero(&self) {
        for kind in [Kind::Delta, Kind::Full] {
            drop(self.served.get_or_create(&kind.into()));
            drop(self.under_way.get_or_create(&kind.into()));
        }
    }

    pub(super) fn limits(&self, limits: Limits) {
        self.limit.set(gauged(limits.downloads as u64));
        self.rate_limit.set(limits.rate_bytes_per_second.map_or(0, |rate| gauged(rate.get())));
    }

    pub(super) fn under_way(&self, kind: Kind, number: usize) {
        self.under_way.get_or_create(&kind.into()).set(gauged(number as u64));
    }

    pub(super) fn refused(&self) {
        self.refused.inc();
    }

    pub(super) fn refusals(&self) -> u64 {
        self.refused.get()
    }

    pub(super) fn stalled(&self) {
        self.stalled.inc();
    }

    pub(super) fn served(&self, kind: Kind, bytes: u64) {
        self.served.get_or_create(&kind.into()).inc_by(bytes);
    }

    pub(super) fn served_bytes(&self, kind: Kind) -> u64 {
        self.served.get_or_create(&kind.into()).get()
    }
}

fn gauged(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
