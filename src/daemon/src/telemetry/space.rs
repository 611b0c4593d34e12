//! Where a daemon's space goes, the same names for both daemons.

use bootstash_zfs::{Unanswered, Usage};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;

type FloatGauge = Gauge<f64, AtomicU64>;

/// Gauges of a volume and its pool.
#[derive(Clone, Debug, Default)]
pub struct SpaceMetrics {
    logical_bytes: Gauge,
    available_bytes: Gauge,
    compress_ratio: FloatGauge,
    pool_used_bytes: Gauge,
    pool_dedup_ratio: FloatGauge,
    pool_dedup_table_bytes: Gauge,
    pool_dedup_table_quota_bytes: Gauge,
    zfs_unanswered_seconds: Gauge,
}

impl SpaceMetrics {
    /// All at zero, registered.
    pub fn registered(registry: &mut Registry) -> Self {
        let space = Self::default();
        let bytes = [
            ("volume_logical", "What the volume's files hold", &space.logical_bytes),
            ("volume_available", "What the volume has left", &space.available_bytes),
            ("pool_used", "What the pool has allocated, for all that is in it", &space.pool_used_bytes),
            (
                "pool_dedup_table",
                "Size of the pool's deduplication table on disk, 0 where ZFS does not tell",
                &space.pool_dedup_table_bytes,
            ),
            (
                "pool_dedup_table_quota",
                "Size from which new blocks are not deduplicated, 0 for no quota",
                &space.pool_dedup_table_quota_bytes,
            ),
        ];
        for (name, help, gauge) in bytes {
            registry.register_with_unit(name, help, Unit::Bytes, gauge.clone());
        }
        let ratios = [
            (
                "volume_compress_ratio",
                "Bytes before over bytes after compression, of the volume",
                &space.compress_ratio,
            ),
            (
                "pool_dedup_ratio",
                "Bytes referenced over bytes stored, of all that is in the pool",
                &space.pool_dedup_ratio,
            ),
        ];
        for (name, help, gauge) in ratios {
            registry.register(name, help, gauge.clone());
        }
        registry.register_with_unit(
            "zfs_unanswered",
            "How long the call has waited that ZFS has kept waiting longest, 0 where none waits",
            Unit::Seconds,
            space.zfs_unanswered_seconds.clone(),
        );
        space
    }

    /// The call that waits longest now.
    pub fn set_unanswered(&self, longest: Option<&Unanswered>) {
        let seconds = longest.map_or(0, |longest| longest.seconds);
        self.zfs_unanswered_seconds.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// What it is now.
    pub fn set(&self, usage: &Usage) {
        let gauged = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.logical_bytes.set(gauged(usage.logical_bytes));
        self.available_bytes.set(gauged(usage.available_bytes));
        self.compress_ratio.set(usage.compress_ratio);
        self.pool_used_bytes.set(gauged(usage.used_bytes));
        self.pool_dedup_ratio.set(usage.dedup_ratio);
        let table = usage.dedup_table;
        self.pool_dedup_table_bytes.set(gauged(table.map_or(0, |table| table.bytes)));
        let quota = table.and_then(|table| table.quota_bytes);
        self.pool_dedup_table_quota_bytes.set(gauged(quota.unwrap_or(0)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::text_format::TextFormat;
    use super::*;
    use crate::telemetry::{encode, new_registry};
    use bootstash_zfs::DedupTable;

    #[test]
    fn says_what_is_the_pools_and_what_the_volumes() {
        let mut registry = new_registry("agent");
        let space = SpaceMetrics::registered(registry.sub_registry_with_prefix("bootstash_agent"));
        space.set(&Usage {
            logical_bytes: 1,
            used_bytes: 2,
            available_bytes: 3,
            dedup_ratio: 1.5,
            compress_ratio: 2.5,
            dedup_table: Some(DedupTable { bytes: 4, quota_bytes: None }),
        });
        let text = encode(&registry, TextFormat::OpenMetrics).unwrap();
        for line in [
            "volume_logical_bytes 1",
            "volume_available_bytes 3",
            "volume_compress_ratio 2.5",
            "pool_used_bytes 2",
            "pool_dedup_ratio 1.5",
            "pool_dedup_table_bytes 4",
            "pool_dedup_table_quota_bytes 0",
            "zfs_unanswered_seconds 0",
        ] {
            assert!(text.contains(&format!("\nbootstash_agent_{line}\n")), "{line} in {text}");
        }
    }
}
