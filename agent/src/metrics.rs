//! What the agent counts, and what it looks up when Prometheus asks.

use crate::multicast::MulticastMetrics;
use crate::volume::VolumeState;
use bootstash_base::error::ErrorClass;
use bootstash_base::names::SnapshotName;
use bootstash_daemon::config::PeersConfig;
use bootstash_daemon::telemetry;
use bootstash_daemon::telemetry::{MaintenanceMetrics, SECOND_BUCKETS, SpaceMetrics, TextFormat};
use bootstash_net::api::ChangedBase;
use bootstash_net::download_limits::Downloads;
use bootstash_zfs::{Unanswered, Usage};
use chrono::{DateTime, Utc};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

type FloatGauge = Gauge<f64, AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

/// The agent's metrics. Cheap to clone; clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    snapshot_number: Gauge,
    last_success: FloatGauge,
    apply: Histogram,
    delta_bytes: Counter,
    apply_failures: Family<KindLabel, Counter>,
    resyncs: Counter,
    replaced: Gauge,
    from_peers: Counter,
    peer_failures: Counter,
    overlays: Gauge,
    missing_overlays: Gauge,
    changed_bases: Gauge,
    overlays_on_changed_bases: Gauge,
    views: Gauge,
    views_unmounted: Gauge,
    maintenance: MaintenanceMetrics,
    space: SpaceMetrics,
    multicast: MulticastMetrics,
}

impl Metrics {
    /// All at zero, for a node that serves no peers.
    pub fn new() -> Self {
        Self::serving(&Downloads::new(PeersConfig::default().limits()))
    }

    /// All at zero, and what `downloads` counts of what is served to peers.
    pub fn serving(downloads: &Downloads) -> Self {
        let mut metrics = Self {
            registry: Arc::default(),
            snapshot_number: Gauge::default(),
            last_success: FloatGauge::default(),
            apply: Histogram::new(SECOND_BUCKETS),
            delta_bytes: Counter::default(),
            apply_failures: Family::default(),
            resyncs: Counter::default(),
            replaced: Gauge::default(),
            from_peers: Counter::default(),
            peer_failures: Counter::default(),
            overlays: Gauge::default(),
            missing_overlays: Gauge::default(),
            changed_bases: Gauge::default(),
            overlays_on_changed_bases: Gauge::default(),
            views: Gauge::default(),
            views_unmounted: Gauge::default(),
            maintenance: MaintenanceMetrics::default(),
            space: SpaceMetrics::default(),
            multicast: MulticastMetrics::default(),
        };
        let mut registry = telemetry::new_registry("agent");
        metrics.register_following(registry.sub_registry_with_prefix("bootstash_agent"));
        metrics.register_volume(registry.sub_registry_with_prefix("bootstash_agent"));
        metrics.register_peers(registry.sub_registry_with_prefix("bootstash_agent"));
        downloads.register(registry.sub_registry_with_prefix("bootstash_agent_peer"));
        metrics.multicast.register(registry.sub_registry_with_prefix("bootstash_agent"));
        metrics.maintenance.register(registry.sub_registry_with_prefix("bootstash_agent"));
        metrics.space = SpaceMetrics::registered(registry.sub_registry_with_prefix("bootstash_agent"));
        metrics.registry = Arc::new(registry);
        metrics
    }

    fn register_following(&self, registry: &mut Registry) {
        registry.register(
            "snapshot_number",
            "Number of the newest snapshot here, 0 for none",
            self.snapshot_number.clone(),
        );
        registry.register_with_unit(
            "last_success_timestamp",
            "When this node was last known to be in step with the registrar",
            Unit::Seconds,
            self.last_success.clone(),
        );
        registry.register_with_unit(
            "apply",
            "Time to fetch and apply a delta, or to receive a whole volume",
            Unit::Seconds,
            self.apply.clone(),
        );
        registry.register_with_unit(
            "delta",
            "Size of the delta files applied",
            Unit::Bytes,
            self.delta_bytes.clone(),
        );
        registry.register(
            "apply_failures",
            "Deltas that could not be fetched or applied, by kind of failure",
            self.apply_failures.clone(),
        );
        // Else the first failure of a kind would look like a counter that was never at zero.
        for kind in ALL_KINDS {
            drop(self.apply_failures.get_or_create(&KindLabel { kind: label(kind) }));
        }
    }

    fn register_volume(&self, registry: &mut Registry) {
        registry.register("overlays", "Overlays on record here", self.overlays.clone());
        registry.register(
            "missing_overlays",
            "Overlays whose file was gone at the last start or collection",
            self.missing_overlays.clone(),
        );
        registry.register(
            "changed_bases",
            "Image files that changed after overlays were made of them",
            self.changed_bases.clone(),
        );
        registry.register(
            "overlays_on_changed_bases",
            "Overlays that read from such a file",
            self.overlays_on_changed_bases.clone(),
        );
        registry.register(
            "resyncs",
            "Times a whole volume was received beside the one here",
            self.resyncs.clone(),
        );
        registry.register("replaced_volumes", "Replaced volumes that are still here", self.replaced.clone());
        registry.register("views", "Snapshots that have a view", self.views.clone());
        registry.register(
            "views_unmounted",
            "Views that overlays need and that are not at their place",
            self.views_unmounted.clone(),
        );
    }

    fn register_peers(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "peer_fetched",
            "Bytes of deltas that came from peers",
            Unit::Bytes,
            self.from_peers.clone(),
        );
        registry.register("peer_failures", "Peers that did not help", self.peer_failures.clone());
    }

    /// What receiving by multicast counts.
    pub fn multicast(&self) -> MulticastMetrics {
        self.multicast.clone()
    }

    /// So much came from a peer.
    pub fn fetched_from_peer(&self, bytes: u64) {
        self.from_peers.inc_by(bytes);
    }

    /// How much came from peers.
    pub fn from_peers_bytes(&self) -> u64 {
        self.from_peers.get()
    }

    /// A peer did not help.
    pub fn peer_failed(&self) {
        self.peer_failures.inc();
    }

    /// A delta was applied.
    pub fn applied(&self, snapshot: &SnapshotName, bytes: u64, seconds: f64) {
        self.snapshot_number.set(gauged(snapshot.number()));
        self.delta_bytes.inc_by(bytes);
        self.apply.observe(seconds);
    }

    /// A whole volume came, which is no delta file.
    pub fn streamed(&self, snapshot: &SnapshotName, seconds: f64) {
        self.snapshot_number.set(gauged(snapshot.number()));
        self.apply.observe(seconds);
    }

    /// A delta could not be fetched or applied.
    pub fn failed(&self, kind: ErrorClass) {
        self.apply_failures.get_or_create(&KindLabel { kind: label(kind) }).inc();
    }

    /// A whole volume is received beside the one that is here.
    pub fn resync(&self) {
        self.resyncs.inc();
    }

    /// The node is in step.
    pub fn in_step(&self) {
        self.last_success.set(Utc::now().timestamp_millis() as f64 / 1000.0);
    }

    /// A collection was done.
    pub fn collected(&self) {
        self.maintenance.collected(Utc::now());
    }

    /// Until when this node is a member, unless it renews that.
    pub fn show_certificate(&self, not_after: DateTime<Utc>) {
        self.maintenance.show_certificate(not_after);
    }

    /// What ZFS has not answered.
    pub fn show_zfs(&self, unanswered: Option<&Unanswered>) {
        self.space.set_unanswered(unanswered);
    }

    /// Bases that changed under overlays.
    pub fn show_changed_bases(&self, bases: &[ChangedBase]) {
        let files: BTreeSet<&Path> = bases.iter().map(|base| base.path.as_path()).collect();
        self.changed_bases.set(gauged(files.len() as u64));
        let overlays: usize = bases.iter().map(|base| base.overlays.len()).sum();
        self.overlays_on_changed_bases.set(gauged(overlays as u64));
    }

    /// The answer to a scrape, with the volume as it is.
    ///
    /// # Errors
    /// When a metric cannot be written as text.
    pub fn scrape(
        &self,
        state: &VolumeState,
        usage: Option<&Usage>,
        format: TextFormat,
    ) -> Result<String, std::fmt::Error> {
        self.snapshot_number.set(gauged(state.head().map_or(0, |head| head.name.number())));
        self.overlays.set(gauged(state.leases.len() as u64));
        self.missing_overlays.set(gauged(state.missing_overlays() as u64));
        self.views.set(gauged(state.views.len() as u64));
        self.views_unmounted.set(gauged(state.unmounted.len() as u64));
        self.replaced.set(gauged(state.replaced.len() as u64));
        if let Some(usage) = usage {
            self.space.set(usage);
        }
        telemetry::encode(&self.registry, format)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn gauged(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

const ALL_KINDS: [ErrorClass; 5] = [
    ErrorClass::Permanent,
    ErrorClass::Transient,
    ErrorClass::Busy,
    ErrorClass::Cancelled,
    ErrorClass::Operator,
];

fn label(kind: ErrorClass) -> &'static str {
    match kind {
        ErrorClass::Permanent => "permanent",
        ErrorClass::Transient => "transient",
        ErrorClass::Busy => "busy",
        ErrorClass::Cancelled => "cancelled",
        ErrorClass::Operator => "operator",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_prometheus() {
        let metrics = Metrics::new();
        let name = SnapshotName::new(7, DateTime::UNIX_EPOCH);
        metrics.applied(&name, 100, 0.2);
        metrics.failed(ErrorClass::Operator);
        metrics.in_step();
        metrics.show_changed_bases(&[ChangedBase {
            path: "/srv/a.raw".into(),
            image: "a".parse().unwrap(),
            snapshot: name.clone(),
            change: "it is gone".to_owned(),
            overlays: vec!["/vms/a".into(), "/vms/b".into()],
        }]);
        metrics.show_certificate(DateTime::UNIX_EPOCH);
        let volume = VolumeState { unmounted: vec![name], ..VolumeState::default() };
        let text = metrics.scrape(&volume, None, TextFormat::OpenMetrics).unwrap();
        for line in [
            "bootstash_agent_delta_bytes_total 100",
            "bootstash_agent_apply_seconds_count 1",
            "bootstash_agent_apply_failures_total{kind=\"operator\"} 1",
            "bootstash_agent_apply_failures_total{kind=\"permanent\"} 0",
            "bootstash_agent_multicast_datagrams_total{outcome=\"taken\"} 0",
            "bootstash_agent_multicast_left_total{reason=\"unheard\"} 0",
            "bootstash_agent_peer_served_bytes_total{kind=\"full\"} 0",
            "bootstash_agent_views_unmounted 1",
            "bootstash_agent_certificate_not_after_timestamp_seconds 0",
            "bootstash_agent_last_collection_timestamp_seconds 0",
            "process_start_time_seconds ",
            "bootstash_agent_last_success_timestamp_seconds ",
            "bootstash_agent_snapshot_number 0",
            "bootstash_agent_overlays 0",
            "bootstash_agent_missing_overlays 0",
            "bootstash_agent_changed_bases 1",
            "bootstash_agent_overlays_on_changed_bases 2",
            "bootstash_agent_pool_used_bytes 0",
            "process_resident_memory_bytes ",
        ] {
            assert!(text.lines().any(|given| given.starts_with(line)), "{line}\n{text}");
        }
    }
}
