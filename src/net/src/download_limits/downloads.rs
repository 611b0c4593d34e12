//! The downloads under way, and the limits in force.

use super::bucket::Bucket;
use super::stats::{Kind, Stats};
use parking_lot::{Mutex, MutexGuard};
use prometheus_client::registry::Registry;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;

/// How much may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Downloads at once.
    pub downloads: usize,
    /// How many of them may be of a whole volume.
    pub full: usize,
    /// What all together may send a second; none for no limit.
    pub rate_bytes_per_second: Option<NonZeroU64>,
}

/// Lets downloads begin, and paces them. Cheap to clone; clones share the limits.
#[derive(Clone, Debug)]
pub struct Downloads(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    /// Counts changes of the limits, for who waits.
    changes: watch::Sender<u64>,
    stats: Stats,
}

#[derive(Debug)]
struct Inner {
    limits: Limits,
    deltas: usize,
    full: usize,
    most: usize,
    bucket: Bucket,
}

impl Inner {
    fn count(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Delta => &mut self.deltas,
            Kind::Full => &mut self.full,
        }
    }
}

/// One download; it counts until it is dropped.
#[derive(Debug)]
pub struct Download {
    downloads: Downloads,
    kind: Kind,
}

impl Downloads {
    /// With these limits, and nothing under way.
    pub fn new(limits: Limits) -> Self {
        let bucket = Bucket::new(limits.rate_bytes_per_second, Instant::now());
        let inner = Inner { limits, deltas: 0, full: 0, most: 0, bucket };
        let shared =
            Shared { inner: Mutex::new(inner), changes: watch::Sender::default(), stats: Stats::default() };
        shared.stats.limits(limits);
        Self(Arc::new(shared))
    }

    /// Puts the counts into a registry.
    pub fn register(&self, to: &mut Registry) {
        self.0.stats.register(to);
    }

    /// Other limits from now on. Downloads above a lower limit end in their time; the rate counts at once.
    pub fn set(&self, limits: Limits) {
        let mut inner = self.lock();
        inner.limits = limits;
        inner.bucket.set_rate(limits.rate_bytes_per_second, Instant::now());
        drop(inner);
        self.0.stats.limits(limits);
        self.0.changes.send_modify(|changes| *changes += 1);
    }

    /// The limits in force.
    pub fn limits(&self) -> Limits {
        self.lock().limits
    }

    /// Begins a download; none where enough are under way.
    pub fn begin(&self, kind: Kind) -> Option<Download> {
        let mut inner = self.lock();
        let room = inner.deltas + inner.full < inner.limits.downloads;
        if !room || (kind == Kind::Full && inner.full >= inner.limits.full) {
            return None;
        }
        *inner.count(kind) += 1;
        inner.most = inner.most.max(inner.deltas + inner.full);
        self.0.stats.under_way(kind, *inner.count(kind));
        Some(Download { downloads: self.clone(), kind })
    }

    /// Counts one that was told to retry later.
    pub fn refused(&self) {
        self.0.stats.refused();
    }

    /// How many were told to retry later.
    pub fn refusals(&self) -> u64 {
        self.0.stats.refusals()
    }

    /// The most that ever were under way at once.
    pub fn most(&self) -> usize {
        self.lock().most
    }

    /// Begins to count the most anew.
    pub fn forget_most(&self) {
        let mut inner = self.lock();
        inner.most = inner.deltas + inner.full;
    }

    /// Bytes sent so far.
    pub fn served_bytes(&self, kind: Kind) -> u64 {
        self.0.stats.served_bytes(kind)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock()
    }
}

impl Download {
    /// Waits until this number of bytes may be sent.
    pub(super) async fn pace(&self, bytes: u64) {
        let mut changes = self.downloads.0.changes.subscribe();
        let claim = self.downloads.lock().bucket.claim(bytes, Instant::now());
        loop {
            let wait = self.downloads.lock().bucket.wait(&claim, Instant::now());
            let Some(wait) = wait else { return };
            tokio::select! {
                () = tokio::time::sleep(wait) => (),
                _ = changes.changed() => (),
            }
        }
    }

    pub(super) fn sent(&self, bytes: u64) {
        self.downloads.0.stats.served(self.kind, bytes);
    }

    pub(super) fn stalled(&self) {
        self.downloads.0.stats.stalled();
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        let mut inner = self.downloads.lock();
        *inner.count(self.kind) -= 1;
        self.downloads.0.stats.under_way(self.kind, *inner.count(self.kind));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn downloads(downloads: usize, full: usize) -> Downloads {
        Downloads::new(Limits { downloads, full, rate_bytes_per_second: None })
    }

    #[test]
    fn begins_no_more_than_it_may_and_few_of_whole_volumes() {
        let downloads = downloads(3, 1);
        let full = downloads.begin(Kind::Full).unwrap();
        assert!(downloads.begin(Kind::Full).is_none());
        let deltas = [downloads.begin(Kind::Delta).unwrap(), downloads.begin(Kind::Delta).unwrap()];
        assert!(downloads.begin(Kind::Delta).is_none());
        drop(full);
        assert!(downloads.begin(Kind::Full).is_some());
        drop(deltas);
        assert_eq!(downloads.most(), 3);
    }

    #[test]
    fn a_lower_limit_waits_for_the_downloads_above_it() {
        let downloads = downloads(2, 2);
        let mut open = vec![downloads.begin(Kind::Delta).unwrap(), downloads.begin(Kind::Delta).unwrap()];
        downloads.set(Limits { downloads: 1, ..downloads.limits() });
        open.pop();
        assert!(downloads.begin(Kind::Delta).is_none());
        open.pop();
        assert!(downloads.begin(Kind::Delta).is_some());
    }
}
