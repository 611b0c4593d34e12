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

    /// For the first of the boots up to `last` that run side by side, before which `known` clusters were in the cache.
    pub(super) fn of_boot(self, number: u32, last: u32, known: u64) -> BootReporter<'a> {
        let reporter = BootReporter { progress: Some(self.0), known };
        self.0.send_modify(|progress| {
            (progress.boot, progress.last_boot) = (Some(number), Some(last));
            progress.console_line = None;
        });
        reporter.clusters(0);
        reporter
    }
}

/// Tells of one boot.
#[derive(Clone, Copy, Debug)]
pub(super) struct BootReporter<'a> {
    progress: Option<&'a watch::Sender<Progress>>,
    known: u64,
}

impl BootReporter<'_> {
    /// For the others of them: one tells how far they are.
    pub(super) fn silent() -> Self {
        Self { progress: None, known: 0 }
    }

    /// This boot has read this number of clusters that are not in the cache.
    pub(super) fn clusters(&self, new: u64) {
        let clusters = Some(self.known + new);
        self.tell(|progress| {
            let changed = progress.clusters != clusters;
            progress.clusters = clusters;
            progress.bytes = clusters.map(|clusters| clusters * CLUSTER_BYTES);
            changed
        });
    }

    /// The newest line of the console.
    pub(super) fn console(&self, line: Option<&str>) {
        self.tell(|progress| {
            let changed = progress.console_line.as_deref() != line;
            if changed {
                progress.console_line = line.map(str::to_owned);
            }
            changed
        });
    }

    fn tell(&self, change: impl FnOnce(&mut Progress) -> bool) {
        if let Some(progress) = self.progress {
            progress.send_if_modified(change);
        }
    }
}
