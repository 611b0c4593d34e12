//! Which jobs run, and how to have each end before its time.

use crate::job::JobId;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use tokio_util::sync::CancellationToken;

/// The token of each job that runs.
#[derive(Debug, Default)]
pub(super) struct Cancels(Mutex<BTreeMap<JobId, CancellationToken>>);

impl Cancels {
    /// The token of a job that starts; the registrar's `stop` cancels it, too.
    pub(super) fn of_job(&self, job: JobId, stop: &CancellationToken) -> CancellationToken {
        let token = stop.child_token();
        let cancelled = self.0.lock().insert(job, token.clone());
        if cancelled.is_some_and(|token| token.is_cancelled()) {
            token.cancel();
        }
        token
    }

    /// Cancels a job that has not ended, be it that it is just about to start.
    pub(super) fn cancel(&self, job: JobId) {
        self.0.lock().entry(job).or_default().cancel();
    }

    /// The job has ended.
    pub(super) fn forget(&self, job: JobId) {
        self.0.lock().remove(&job);
    }
}
