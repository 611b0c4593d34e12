//! Telling how far a capture is.

use bootstash_disk::qcow2::CLUSTER_BYTES;
use bootstash_net::api::Progress;
use tokio::sync::watch;

/// Tells whoever watches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reporter<'a>(&'a watch::Sender<Progress>);

impl<'a> Reporter<'a> {
    pub(super) fn new(progress: &'a watch::Sender<Progress>) -> Self {
        Self(progress)
    }

    /// For one boot, before which `known` clusters were in the cache.
    pub(super) fn of_boot(self, number: u32, known: u64) -> BootReporter<'a> {
        let reporter = BootReporter { progress: self.0, known };
        self.0.send_modify(|progress| {
            progress.boot = Some(number);
            progress.console_line = None;
        });
        reporter.clusters(0);
        reporter
    }
}

/// Tells of one boot.
#[derive(Clone, Copy, Debug)]
pub(super) struct BootReporter<'a> {
    progress: &'a watch::Sender<Progress>,
    known: u64,
}

impl BootReporter<'_> {
    /// This boot has read this number of clusters that are not in the cache.
    pub(super) fn clusters(&self, new: u64) {
        let clusters = Some(self.known + new);
        self.progress.send_if_modified(|progress| {
            let changed = progress.clusters != clusters;
            progress.clusters = clusters;
            progress.bytes = clusters.map(|clusters| clusters * CLUSTER_BYTES);
            changed
        });
    }

    /// The newest line of the console.
    pub(super) fn console(&self, line: Option<&str>) {
        self.progress.send_if_modified(|progress| {
            let changed = progress.console_line.as_deref() != line;
            if changed {
                progress.console_line = line.map(str::to_owned);
            }
            changed
        });
    }
}
