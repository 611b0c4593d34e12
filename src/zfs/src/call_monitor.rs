//! What ZFS was asked and has not answered yet: a ZFS that hangs is noticed long before the
//! deadline of the call that waits for it.
//!
//! Promises: a call counts from its start, or from its last byte, until it ends or is dropped.

use super::{Usage, Zfs};
use bootstash_base::error::Chain;
use bootstash_base::names::DatasetName;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// Destroying many deduplicated blocks, or a pool that is scrubbed, can take this long and be well.
const NOTICED_AFTER: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Prometheus waits for ten seconds.
const SOON: Duration = Duration::from_secs(3);

/// The call that waits longest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unanswered {
    /// The command.
    pub call: String,
    /// For how long nothing has come.
    pub seconds: u64,
}

impl Unanswered {
    /// Whether it waits longer than a ZFS that is well lets wait.
    pub fn is_noticed(&self) -> bool {
        self.seconds >= NOTICED_AFTER.as_secs()
    }
}

/// The calls under way. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    under_way: Arc<Mutex<BTreeMap<u64, (String, Instant)>>>,
    next: Arc<AtomicU64>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Call {
    number: u64,
    calls: Calls,
}

impl Calls {
    pub(super) fn begin(&self, call: &str) -> Call {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.with(|under_way| under_way.insert(number, (call.to_owned(), Instant::now())));
        Call { number, calls: self.clone() }
    }

    /// The one that waits longest.
    pub(super) fn longest(&self) -> Option<Unanswered> {
        self.with(|under_way| {
            let (call, since) = under_way.values().min_by_key(|(_, since)| *since)?;
            Some(Unanswered { call: call.clone(), seconds: since.elapsed().as_secs() })
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<u64, (String, Instant)>) -> T) -> T {
        look(&mut self.under_way.lock())
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.calls.with(|under_way| under_way.remove(&self.number));
    }
}

/// Space taken by a file system, for somebody who waits at a terminal or scrapes: none where ZFS does not
/// tell soon.
pub async fn usage_soon(zfs: &dyn Zfs, of: &DatasetName) -> Option<Usage> {
    match timeout(SOON, zfs.usage(of)).await {
        Ok(Ok(usage)) => Some(usage),
        Ok(Err(error)) => {
            tracing::debug!("no figures of space: {}", Chain(&error));
            None
        }
        Err(_) => None,
    }
}

/// Says in the log when ZFS hangs and when it goes on: two lines, however long it lasts. Runs until
/// it is dropped.
pub async fn watch(zfs: Arc<dyn Zfs>) {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut still = false;
    loop {
        looks.tick().await;
        match zfs.unanswered().filter(Unanswered::is_noticed) {
            Some(Unanswered { call, seconds }) if !still => {
                tracing::warn!("ZFS has not answered `{call}` for {seconds} s; waiting for it");
                still = true;
            }
            None if still => {
                tracing::info!("ZFS answers again");
                still = false;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_counts_until_its_call_ends() {
        let calls = Calls::default();
        assert_eq!(calls.longest(), None);
        let first = calls.begin("zfs list");
        let _second = calls.begin("zfs snapshot");
        assert_eq!(calls.longest().unwrap().call, "zfs list");
        drop(first);
        assert_eq!(calls.longest().unwrap(), Unanswered { call: "zfs snapshot".to_owned(), seconds: 0 });
    }

    #[test]
    fn a_short_wait_is_nothing_to_notice() {
        let waiting = |seconds| Unanswered { call: String::new(), seconds };
        assert!(!waiting(14).is_noticed() && waiting(15).is_noticed());
    }
}
