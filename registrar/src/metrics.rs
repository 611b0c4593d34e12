//! The registrar's metrics.

use crate::job::JobRecord;
use crate::multicast::MulticastMetrics;
use crate::volume::PublicationLog;
use bootstash_daemon::telemetry;
use bootstash_daemon::telemetry::{
    BYTE_BUCKETS, MaintenanceMetrics, SECOND_BUCKETS, SpaceMetrics, TextFormat,
};
use bootstash_delta::catalog::{Confidence, Manifest};
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
struct StepLabel {
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
    step_seconds: Family<StepLabel, Histogram, fn() -> Histogram>,
    last_success: Gauge,
    snapshot: Gauge,
    snapshots: Gauge,
    delta_bytes: Histogram,
    delta_file_bytes: Gauge,
    cache_bytes: Family<Image, Gauge>,
    node_lag: Family<Node, Gauge>,
    node_contact: Family<Node, Gauge<f64, std::sync::atomic::AtomicU64>>,
    low_confidence: Gauge,
    identity_conflicts: Gauge,
    jobs: Gauge,
    redirected: Counter,
    maintenance: MaintenanceMetrics,
    space: SpaceMetrics,
}

impl Metrics {
    /// All at zero, and what `downloads` and `multicast` count.
    pub fn new(downloads: &Downloads, multicast: &MulticastMetrics) -> Self {
        let mut registry = telemetry::new_registry("registrar");
        let mut metrics = Self {
            registry: Arc::default(),
            registrations: Family::default(),
            step_seconds: Family::new_with_constructor(|| Histogram::new(SECOND_BUCKETS)),
            last_success: Gauge::default(),
            snapshot: Gauge::default(),
            snapshots: Gauge::default(),
            delta_bytes: Histogram::new(BYTE_BUCKETS),
            delta_file_bytes: Gauge::default(),
            cache_bytes: Family::default(),
            node_lag: Family::default(),
            node_contact: Family::default(),
            low_confidence: Gauge::default(),
            identity_conflicts: Gauge::default(),
            jobs: Gauge::default(),
            redirected: Counter::default(),
            maintenance: MaintenanceMetrics::default(),
            space: SpaceMetrics::default(),
        };
        metrics.register(registry.sub_registry_with_prefix("bootstash_registrar"));
        metrics.register_nodes(registry.sub_registry_with_prefix("bootstash_registrar"));
        metrics.begin_at_zero();
        metrics.maintenance.register(registry.sub_registry_with_prefix("bootstash_registrar"));
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
            "registration",
            "Time that a finished step of a registration took, without what it waited for others",
            Unit::Seconds,
            self.step_seconds.clone(),
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
        to.register(
            "low_confidence_images",
            "Images whose boot cache may lack what a boot reads",
            self.low_confidence.clone(),
        );
    }

    fn register_nodes(&self, to: &mut Registry) {
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

    /// Else the first failure at a step would look like a counter that was never at zero, and raise no alert.
    fn begin_at_zero(&self) {
        for step in Step::ALL.map(Step::as_str) {
            drop(self.step_seconds.get_or_create(&StepLabel { step }));
            for outcome in ["failed", "cancelled"] {
                drop(self.registrations.get_or_create(&Registration { outcome, step }));
            }
        }
        let step = Step::Publish.as_str();
        drop(self.registrations.get_or_create(&Registration { outcome: "registered", step }));
    }

    /// Counts a registration that ended, and how long its steps took.
    pub fn registration_ended(&self, job: &JobRecord) {
        for (step, seconds) in &job.step_seconds {
            self.step_seconds.get_or_create(&StepLabel { step: step.as_str() }).observe(*seconds);
        }
        let (outcome, step) = match job.state.outcome() {
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

    /// A collection was done.
    pub fn collected(&self) {
        self.maintenance.collected(chrono::Utc::now());
    }

    /// Until when our own certificate counts, unless it is renewed.
    pub fn show_certificate(&self, not_after: chrono::DateTime<chrono::Utc>) {
        self.maintenance.show_certificate(not_after);
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
        jobs: usize,
        usage: Option<&Usage>,
        format: TextFormat,
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
        self.show_nodes(nodes);
        telemetry::encode(&self.registry, format)
    }

    /// The images that are published.
    pub fn show_images(&self, images: &[&Manifest]) {
        if let Some(newest) = images.iter().map(|image| image.registered.timestamp()).max() {
            self.last_success.set(newest.max(self.last_success.get()));
        }
        let low = images.iter().filter(|image| image.confidence == Confidence::Low);
        self.low_confidence.set(count(low.count()));
        self.cache_bytes.clear();
        for image in images {
            let label = Image { image: image.name.to_string() };
            self.cache_bytes.get_or_create(&label).set(i64::try_from(image.cache.bytes).unwrap_or(i64::MAX));
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{JobId, JobState};
    use crate::multicast::MulticastMetrics;
    use crate::volume::PublicationLog;
    use bootstash_base::error::ErrorClass;
    use bootstash_daemon::config::ServingConfig;
    use bootstash_net::api::RegisterRequest;

    fn lines(metrics: &Metrics, log: &PublicationLog) -> Vec<String> {
        let text = metrics.scrape(log, &[], 0, None, TextFormat::Plain).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_first_failure_is_a_step_from_zero() {
        let downloads = Downloads::new(ServingConfig::default().limits());
        let metrics = Metrics::new(&downloads, &MulticastMetrics::default());
        let dir = tempfile::tempdir().unwrap();
        let log = PublicationLog::new(dir.path().to_owned());
        let failed = "bootstash_registrar_registrations_total{outcome=\"failed\",step=\"capture\"}";
        for line in [
            &format!("{failed} 0"),
            "bootstash_registrar_registrations_total{outcome=\"registered\",step=\"publish\"} 0",
            "bootstash_registrar_registration_seconds_count{step=\"import\"} 0",
            "bootstash_registrar_multicast_sent_bytes_total{kind=\"repair\"} 0",
            "bootstash_registrar_multicast_sessions_total{outcome=\"failed\"} 0",
            "bootstash_registrar_multicast_expelled_total{reason=\"silent\"} 0",
            "bootstash_registrar_served_bytes_total{kind=\"delta\"} 0",
            "bootstash_registrar_low_confidence_images 0",
            "bootstash_registrar_certificate_not_after_timestamp_seconds 0",
        ] {
            assert!(lines(&metrics, &log).iter().any(|given| given == line), "{line}");
        }
        let mut job =
            JobRecord::new(JobId(1), "a".parse().unwrap(), &RegisterRequest::new("a", "/srv/a.raw"));
        job.step_seconds = vec![(Step::Inspect, 0.5)];
        let (step, error) = (Step::Capture, "no".to_owned());
        job.state = JobState::Failed { step, error, kind: ErrorClass::Permanent };
        metrics.registration_ended(&job);
        assert!(lines(&metrics, &log).contains(&format!("{failed} 1")));
        let inspected = "bootstash_registrar_registration_seconds_count{step=\"inspect\"} 1".to_owned();
        assert!(lines(&metrics, &log).contains(&inspected));
    }
}
