//! What must happen now and then, in both daemons: renewing the certificate, collecting.

use chrono::{DateTime, Utc};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// When it was done, and by when it has to be. Cheap to clone; clones show the same.
#[derive(Clone, Debug, Default)]
pub struct MaintenanceMetrics {
    certificate_not_after: Gauge,
    last_collection: Gauge,
}

impl MaintenanceMetrics {
    /// Has them shown.
    pub fn register(&self, to: &mut Registry) {
        to.register_with_unit(
            "certificate_not_after_timestamp",
            "When this daemon's certificate ends, which is renewed after two thirds of its time",
            Unit::Seconds,
            self.certificate_not_after.clone(),
        );
        to.register_with_unit(
            "last_collection_timestamp",
            "When old snapshots were last collected here, 0 for not since this daemon started",
            Unit::Seconds,
            self.last_collection.clone(),
        );
    }

    /// The certificate in use counts so long.
    pub fn show_certificate(&self, not_after: DateTime<Utc>) {
        self.certificate_not_after.set(not_after.timestamp());
    }

    /// A collection was done.
    pub fn collected(&self, at: DateTime<Utc>) {
        self.last_collection.set(at.timestamp());
    }
}
