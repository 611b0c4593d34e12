//! Prometheus metrics: what every daemon exposes, and how.
//!
//! Names follow Prometheus: base units (`_seconds`, `_bytes`), `_total` for counters (the encoder adds
//! it), and the prefix `bootstash_` for all that is not about the process as such.

use super::process::ProcessCollector;
use super::text_format::TextFormat;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// Histogram bounds for what takes from a tenth of a second to half an hour.
pub const SECOND_BUCKETS: [f64; 12] =
    [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0];

const MIB: f64 = 1024.0 * 1024.0;

/// Histogram bounds for caches and deltas, from 1 MiB to 16 GiB.
pub const BYTE_BUCKETS: [f64; 8] =
    [MIB, 4.0 * MIB, 16.0 * MIB, 64.0 * MIB, 256.0 * MIB, 1024.0 * MIB, 4096.0 * MIB, 16384.0 * MIB];

/// A registry with `bootstash_build_info{daemon, version}` and what the process takes in it. Register
/// a daemon's own metrics in `registry.sub_registry_with_prefix("bootstash")`.
pub fn new_registry(daemon: &'static str) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(ProcessCollector));
    let labels = [("daemon", daemon), ("version", env!("CARGO_PKG_VERSION"))];
    registry
        .sub_registry_with_prefix("bootstash")
        .sub_registry_with_labels(labels.map(|(name, value)| (name.into(), value.into())).into_iter())
        .register("build_info", "Version that runs; the value is always 1", ConstGauge::new(1_i64));
    registry
}

/// The answer to a scrape.
///
/// # Errors
/// When a collector fails to write itself.
pub fn encode(registry: &Registry, format: TextFormat) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry)?;
    Ok(format.of(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;

    #[test]
    fn tells_the_version_and_the_memory() {
        let text = encode(&new_registry("agent"), TextFormat::OpenMetrics).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        let line = format!("bootstash_build_info{{daemon=\"agent\",version=\"{version}\"}} 1\n");
        assert!(text.contains(&line), "{text}");
        let memory =
            text.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes ")).unwrap();
        assert!(memory.parse::<f64>().unwrap() > 100_000.0, "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn a_daemons_metrics_carry_the_prefix_and_none_of_the_build_labels() {
        let mut registry = new_registry("agent");
        let applied = Counter::<u64>::default();
        registry.sub_registry_with_prefix("bootstash").register(
            "deltas_applied",
            "Deltas applied",
            applied.clone(),
        );
        applied.inc();
        assert!(
            encode(&registry, TextFormat::OpenMetrics)
                .unwrap()
                .contains("\nbootstash_deltas_applied_total 1\n")
        );
    }

    #[test]
    fn bounds_grow() {
        for bounds in [&SECOND_BUCKETS[..], &BYTE_BUCKETS[..]] {
            assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
