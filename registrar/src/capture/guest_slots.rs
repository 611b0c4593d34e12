//! How many capture guests run at once on this host, whichever images they are of.

use crate::register::waiting::wait_for;
use bootstash_net::api::Progress;
use std::num::NonZeroUsize;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// The processors of this host, each for one guest. Cheap to clone.
///
/// A guest with several virtual processors counts as one, as most of a boot is done by one at a time. Emulated, two
/// side by side on two processors slow each other nevertheless: `make bench` has the times of boots.
#[derive(Clone, Debug)]
pub struct GuestSlots {
    free: Arc<Semaphore>,
    count: usize,
}

impl GuestSlots {
    /// As many.
    pub fn new(count: NonZeroUsize) -> Self {
        Self { free: Arc::new(Semaphore::new(count.get())), count: count.get() }
    }

    /// As many as this process may use processors.
    pub fn of_this_host() -> Self {
        Self::new(std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// As many of `wanted` as are free, and at least one: where there is none, `progress` says that it is waited for.
    /// Each is given back when it is dropped.
    pub(super) async fn take(
        &self,
        wanted: u32,
        progress: &watch::Sender<Progress>,
    ) -> Vec<OwnedSemaphorePermit> {
        let what = format!("for a processor; the boots of other captures use all {}", self.count);
        let first = wait_for(progress, &what, Arc::clone(&self.free).acquire_owned()).await;
        // Never closed, so that there always is a first.
        let more = (1..wanted).map_while(|_| Arc::clone(&self.free).try_acquire_owned().ok());
        first.into_iter().chain(more).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn takes_what_is_free_and_waits_for_one_where_none_is() {
        let slots = GuestSlots::new(NonZeroUsize::new(3).unwrap());
        let (progress, seen) = watch::channel(Progress::default());
        let first = slots.take(2, &progress).await;
        let second = slots.take(4, &progress).await;
        assert_eq!((first.len(), second.len()), (2, 1));
        let waiting = slots.take(4, &progress);
        tokio::pin!(waiting);
        assert!(futures::poll!(&mut waiting).is_pending());
        assert!(seen.borrow().waiting.as_ref().unwrap().contains("use all 3"));
        drop(first);
        assert_eq!(waiting.await.len(), 2);
        assert_eq!(seen.borrow().waiting, None);
    }
}
