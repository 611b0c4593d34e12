//! What this process takes, from `/proc/self`, under the names that Prometheus' client libraries agreed on.

use procfs::WithCurrentSystemInfo;
use procfs::process::{LimitValue, Process};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;

/// Resident memory of this process, in bytes; none where `/proc` does not tell.
pub fn resident_bytes() -> Option<u64> {
    Usage::read().map(|usage| usage.resident_bytes)
}

struct Usage {
    resident_bytes: u64,
    virtual_bytes: u64,
    cpu_seconds: f64,
    start_seconds: f64,
    open_files: u64,
    open_files_max: Option<u64>,
}

impl Usage {
    fn read() -> Option<Self> {
        let this = Process::myself().ok()?;
        let stat = this.stat().ok()?;
        let ticks = procfs::ticks_per_second() as f64;
        let limit = this.limits().ok().map(|limits| limits.max_open_files.soft_limit);
        Some(Self {
            resident_bytes: stat.rss_bytes().get(),
            virtual_bytes: stat.vsize,
            cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
            start_seconds: procfs::boot_time_secs().ok()? as f64 + stat.starttime as f64 / ticks,
            open_files: this.fd_count().ok()? as u64,
            open_files_max: match limit? {
                LimitValue::Value(files) => Some(files),
                LimitValue::Unlimited => None,
            },
        })
    }
}

/// Reads all anew at each scrape.
#[derive(Debug)]
pub(super) struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(usage) = Usage::read() else { return Ok(()) };
        let cpu = ConstCounter::new(usage.cpu_seconds);
        cpu.encode(encoder.encode_descriptor(
            "process_cpu_seconds",
            "Total user and system CPU time spent in seconds",
            None,
            MetricType::Counter,
        )?)?;
        let mut gauge = |name, help, value: f64| {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
        };
        gauge("process_resident_memory_bytes", "Resident memory size in bytes", usage.resident_bytes as f64)?;
        gauge("process_virtual_memory_bytes", "Virtual memory size in bytes", usage.virtual_bytes as f64)?;
        gauge(
            "process_start_time_seconds",
            "Start time of the process since 1970 in seconds",
            usage.start_seconds,
        )?;
        gauge("process_open_fds", "Number of open file descriptors", usage.open_files as f64)?;
        let max = usage
            .open_files_max
            .map(|max| gauge("process_max_fds", "Maximum number of open file descriptors", max as f64));
        max.unwrap_or(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_tells_of_this_process() {
        let usage = Usage::read().unwrap();
        assert!(usage.resident_bytes > 100_000 && usage.virtual_bytes >= usage.resident_bytes);
        assert!(usage.open_files >= 3 && usage.open_files <= usage.open_files_max.unwrap_or(u64::MAX));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(usage.start_seconds > 1e9 && usage.start_seconds < now + 5.0, "{}", usage.start_seconds);
        assert!(usage.cpu_seconds >= 0.0);
    }
}
