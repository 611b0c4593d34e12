//! Whose certificates do not count any more.

use crate::identity::Serial;
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;

/// Knows who was expelled, and tells at once. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RevocationList(Arc<watch::Sender<BTreeSet<Serial>>>);

impl Default for RevocationList {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(BTreeSet::new())))
    }
}

impl RevocationList {
    /// From now on these do not count, and others do. Tells whether that is news.
    pub fn expel(&self, serials: BTreeSet<Serial>) -> bool {
        self.0.send_if_modified(|now| {
            let news = *now != serials;
            *now = serials;
            news
        })
    }

    /// Those that do not count.
    pub fn expelled(&self) -> BTreeSet<Serial> {
        self.0.borrow().clone()
    }

    /// Whether this certificate does not count any more.
    pub(super) fn has_expelled(&self, serial: &Serial) -> bool {
        self.0.borrow().contains(serial)
    }

    /// Waits until more or fewer are expelled than `known`.
    pub async fn others_than(&self, known: usize) {
        // The sender lives in us.
        drop(self.0.subscribe().wait_for(|now| now.len() != known).await);
    }

    /// Waits until this certificate does not count any more.
    pub(super) async fn closes_for(&self, serial: &Serial, expires: DateTime<Utc>) {
        let mut expelled = self.0.subscribe();
        let left = (expires - Utc::now()).to_std().unwrap_or_default();
        tokio::select! {
            _ = expelled.wait_for(|expelled| expelled.contains(serial)) => (),
            () = tokio::time::sleep(left) => (),
        }
    }
}
