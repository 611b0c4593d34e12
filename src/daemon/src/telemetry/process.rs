//! What this process takes, from `/proc/self`.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;

/// Resident memory of this process, in bytes; none where `/proc` does not tell.
pub fn resident_bytes() -> Option<u64> {
    resident_in(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// `status` rather than `statm`: it counts in KiB, `statm` in pages of whatever size this kernel has.
fn resident_in(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Reads the memory anew at each scrape.
#[derive(Debug)]
pub(super) struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(bytes) = resident_bytes().and_then(|bytes| i64::try_from(bytes).ok()) else {
            return Ok(());
        };
        let gauge = ConstGauge::new(bytes);
        gauge.encode(encoder.encode_descriptor(
            "process_resident_memory_bytes",
            "Resident memory size in bytes",
            None,
            prometheus_client::metrics::MetricType::Gauge,
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let status = "Name:\tagent\nVmHWM:\t   90000 kB\nVmRSS:\t   41232 kB\nRssAnon:\t 1 kB\n";
        assert_eq!(resident_in(status), Some(41232 * 1024));
        assert_eq!(resident_in("Name:\tkthreadd\n"), None);
        assert!(resident_bytes().unwrap() > 0);
    }
}
