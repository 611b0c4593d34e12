//! The registrar's metrics.

use crate::job::JobState;
use crate::multicast::MulticastMetrics;
use crate::volume::PublicationLog;
use bootstash_daemon::telemetry;
use bootstash_daemon::telemetry::{BYTE_BUCKETS, SpaceMetrics};
use bootstash_delta::catalog::Manifest;
use bootstash_net::api::{JobOutcome, NodeView, Step};
use bootstash_net::download_limits::Downloads;
use bootstash_zfs::{Unanswered, Usage};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;

#[derive(Clone, Debug, Default, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Registration {
    outcome: &'static str,
    step: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Node {
    node: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Image {
    image: String,
}

/// The metrics, shared by all who count.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    registrations: Family<Registration, Counter>,
    last_success: Gauge,
    snapshot: Gauge,
    snapshots: Gauge,
    delta_bytes: Histogram,
    delta_file_bytes: Gauge,
    cache_bytes: Family<Image, Gauge>,
    node_lag: Family<Node, Gauge>,
    node_contact: Family<Node, Gauge<f64, std::sync::atomic::AtomicU64>>,
    identity_conflicts: Gauge,
    jobs: Gauge,
    redirected: Counter,
    space: SpaceMetrics,
}

impl Metrics {
    /// All at zero, and what `downloads` and `multicast` count.
    pub fn new(downloads: &Downloads, multicast: &MulticastMetrics) -> Self {
        let mut registry = telemetry::new_registry("registrar");
        let mut metrics = Self {
            registry: Arc::default(),
            registrations: Family::default(),
            last_success: Gauge::default(),
            snapshot: Gauge::default(),
            snapshots: Gauge::default(),
            delta_bytes: Histogram::new(BYTE_BUCKETS),
            delta_file_bytes: Gauge::default(),
            cache_bytes: Family::default(),
            node_lag: Family::default(),
            node_contact: Family::default(),
            identity_conflicts: Gauge::default(),
            jobs: Gauge::default(),
            redirected: Counter::default(),
            space: SpaceMetrics::default(),
        };
        metrics.register(registry.sub_registry_with_prefix("bootstash_registrar"));
        downloads.register(registry.sub_registry_with_prefix("bootstash_registrar"));
        multicast.register(registry.sub_registry_with_prefix("bootstash_registrar"));
        metrics.space = SpaceMetrics::registered(registry.sub_registry_with_prefix("bootstash_registrar"));
        metrics.registry = Arc::new(registry);
        metrics
    }

    fn register(&self, to: &mut Registry) {
        to.register(
            "registrations",
            "Registrations that ended, by outcome and the step they ended at",
            self.registrations.clone(),
        );
        to.register_with_unit(
            "last_success_timestamp",
            "When an image was last registered, since 1970",
            Unit::Seconds,
            self.last_success.clone(),
        );
        to.register("snapshot_number", "Number of the newest snapshot", self.snapshot.clone());
        to.register("snapshots", "Snapshots there are", self.snapshots.clone());
        to.register_with_unit(
            "delta_size",
            "Size of the deltas of registered images",
            Unit::Bytes,
            self.delta_bytes.clone(),
        );
        to.register_with_unit(
            "delta_files",
            "Size of all delta files",
            Unit::Bytes,
            self.delta_file_bytes.clone(),
        );
        to.register_with_unit(
            "cache",
            "Size of a registered image's boot cache",
            Unit::Bytes,
            self.cache_bytes.clone(),
        );
        to.register("node_lag_snapshots", "Snapshots a node is behind", self.node_lag.clone());
        to.register_with_unit(
            "node_last_contact_timestamp",
            "When a node last spoke, since 1970",
            Unit::Seconds,
            self.node_contact.clone(),
        );
        to.register(
            "node_identity_conflicts",
            "Nodes whose identity several hosts use",
            self.identity_conflicts.clone(),
        );
        to.register("jobs", "Registrations under way", self.jobs.clone());
        to.register(
            "downloads_redirected",
            "Downloads for which a node was sent to a peer",
            self.redirected.clone(),
        );
    }

    /// Counts a registration that ended.
    pub fn registration_ended(&self, state: &JobState) {
        let (outcome, step) = match state.outcome() {
            Some(JobOutcome::Registered { delta_bytes, .. }) => {
                self.last_success.set(chrono::Utc::now().timestamp());
                self.delta_bytes.observe(delta_bytes as f64);
                ("registered", Step::Publish)
            }
            Some(JobOutcome::Failed { step, .. }) => ("failed", step),
            Some(JobOutcome::Cancelled { step }) => ("cancelled", step),
            None => return,
        };
        self.registrations.get_or_create(&Registration { outcome, step: step.as_str() }).inc();
    }

    /// What ZFS has not answered.
    pub fn show_zfs(&self, unanswered: Option<&Unanswered>) {
        self.space.set_unanswered(unanswered);
    }

    /// A node was sent to a peer.
    pub fn redirected(&self) {
        self.redirected.inc();
    }

    /// The answer to a scrape, with all that is looked up rather than counted.
    ///
    /// # Errors
    /// When a metric cannot be written.
    pub fn scrape(
        &self,
        log: &PublicationLog,
        nodes: &[NodeView],
        images: &[&Manifest],
        jobs: usize,
        usage: Option<&Usage>,
    ) -> Result<String, std::fmt::Error> {
        let published = log.now();
        let newest = published.snapshots.last().map_or(0, |snapshot| snapshot.name.number());
        self.snapshot.set(i64::try_from(newest).unwrap_or(i64::MAX));
        self.snapshots.set(count(published.snapshots.len()));
        let bytes = published.deltas.iter().map(|delta| delta.bytes).sum::<u64>();
        self.delta_file_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.jobs.set(count(jobs));
        if let Some(usage) = usage {
            self.space.set(usage);
        }
        if let Some(newest) = images.iter().map(|image| image.registered.timestamp()).max() {
            self.last_success.set(newest.max(self.last_success.get()));
        }
        self.cache_bytes.clear();
        for image in images {
            let label = Image { image: image.name.to_string() };
            self.cache_bytes.get_or_create(&label).set(i64::try_from(image.cache.bytes).unwrap_or(i64::MAX));
        }
        self.show_nodes(nodes);
        telemetry::encode(&self.registry)
    }

    fn show_nodes(&self, nodes: &[NodeView]) {
        self.node_lag.clear();
        self.node_contact.clear();
        let conflicts = nodes.iter().filter(|view| view.identity_conflict.is_some());
        self.identity_conflicts.set(count(conflicts.count()));
        for view in nodes {
            let node = Node { node: view.name.to_string() };
            if let Some(lag) = view.lag {
                self.node_lag.get_or_create(&node).set(i64::try_from(lag).unwrap_or(i64::MAX));
            }
            let seconds = view.last_contact.timestamp_millis() as f64 / 1000.0;
            self.node_contact.get_or_create(&node).set(seconds);
        }
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
