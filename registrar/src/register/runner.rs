//! Runs jobs: one step after the other, each result on disk before the next begins.

mod follow_up;
mod steps;

use super::cancels::Cancels;
use super::waiting::StepClock;
use super::{BaseComparison, Capturer, StepFailure};
use crate::job::{JobId, JobRecord, JobRegistry, JobState, StepOutput, SubmitError, Submitted};
use crate::layout::Layout;
use crate::metrics::Metrics;
use crate::volume::{VolumeHandle, VolumeReader};
use bootstash_base::error::{Chain, ErrorClass};
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::names::ImageName;
use bootstash_net::api::{CancelReply, JobOutcome, RegisterRequest, Step};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often to try to take out what a failed job has put into a volume that is away.
const DISCARD_EVERY: Duration = Duration::from_secs(1);
/// How long a disk that does not answer can hold up the registrar's end.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Runs jobs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Runner {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    jobs: Arc<JobRegistry>,
    capturer: Arc<dyn Capturer>,
    volume: VolumeHandle,
    reader: VolumeReader,
    layout: Layout,
    metrics: Metrics,
    bases: BaseComparison,
    captures: Semaphore,
    parallel: usize,
    cancels: Cancels,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Runner {
    /// A runner that captures at most `parallel` images at once.
    pub fn new(
        jobs: Arc<JobRegistry>,
        capturer: Arc<dyn Capturer>,
        (volume, reader): (VolumeHandle, VolumeReader),
        layout: Layout,
        metrics: Metrics,
        parallel: usize,
        stop: CancellationToken,
    ) -> Self {
        let captures = Semaphore::new(parallel);
        let tasks = TaskTracker::new();
        Self {
            inner: Arc::new(Inner {
                jobs,
                capturer,
                volume,
                reader,
                layout,
                metrics,
                bases: BaseComparison::default(),
                captures,
                parallel,
                cancels: Cancels::default(),
                tasks,
                stop,
            }),
        }
    }

    /// Accepts a registration and runs it. Once asked for it goes on, also where nobody waits for the answer
    /// any more: who asks again finds it under way.
    ///
    /// # Errors
    /// See [`JobRegistry::submit`].
    pub async fn submit(&self, name: ImageName, request: RegisterRequest) -> Result<Submitted, SubmitError> {
        self.accept(name, request, false).await
    }

    async fn accept(
        &self,
        name: ImageName,
        request: RegisterRequest,
        follows_up: bool,
    ) -> Result<Submitted, SubmitError> {
        let runner = self.clone();
        let submitting = self.inner.tasks.spawn(async move {
            let jobs = &runner.inner.jobs;
            let submit = async {
                match follows_up {
                    true => jobs.follow_up(name.clone(), &request).await,
                    false => jobs.submit(name.clone(), &request).await,
                }
            };
            let submitted = runner.inner.until_stopped(submit).await.ok_or(SubmitError::Stopping)??;
            if let Submitted::New(job) = submitted {
                tracing::info!(%job, image = %name, source = %request.source.display(), "registration begins");
                runner.start(job);
            }
            Ok(submitted)
        });
        submitting.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    /// Compares images with what their files hold now.
    pub fn bases(&self) -> &BaseComparison {
        &self.inner.bases
    }

    /// Runs a job in a task of its own, and then the one that follows up on it.
    pub fn start(&self, job: JobId) {
        let runner = self.clone();
        let cancel = self.inner.cancels.of_job(job, &self.inner.stop);
        self.inner.tasks.spawn(async move {
            let next = runner.inner.run(job, &cancel).await;
            runner.inner.cancels.forget(job);
            if let Some(next) = next {
                runner.start(next);
            }
        });
    }

    /// Cancels a job, and waits for its end, on disk. None where there is no such job. One that is being published
    /// already is published.
    pub async fn cancel(&self, job: JobId) -> Option<CancelReply> {
        let mut view = self.inner.jobs.watch(job)?;
        let ended_before = view.borrow().outcome.is_some();
        if !ended_before {
            self.inner.cancels.cancel(job);
            tracing::info!(%job, "a registration is being cancelled");
        }
        let ended = view.wait_for(|view| view.outcome.is_some()).await.ok()?.clone();
        // It can have ended just before it was to be cancelled.
        self.inner.cancels.forget(job);
        let cancelled = !ended_before && matches!(ended.outcome, Some(JobOutcome::Cancelled { .. }));
        Some(CancelReply { cancelled, job: ended })
    }

    /// Waits until no job runs just now.
    #[cfg(test)]
    pub(super) async fn idle(&self) {
        while !self.inner.tasks.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until no job runs. Call after the stop token was cancelled.
    pub async fn finish(&self) {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}

impl Inner {
    /// Runs a job to its end, or until the registrar stops: then it goes on at the next start. Gives the job that follows
    /// up on it.
    async fn run(&self, job: JobId, cancel: &CancellationToken) -> Option<JobId> {
        let mut next = None;
        while let Some(record) = self.jobs.record(job) {
            let Some(step) = record.state.next_step() else { break };
            kill_point(reached(step));
            let clock = StepClock::start();
            let done = self.done(&record, step, cancel, &clock).await?;
            // What the disk writes later is what the next start finds.
            match self.until_stopped(self.jobs.advance(job, done, clock.worked())).await? {
                Ok(follow_up) => next = follow_up.or(next),
                Err(error) => {
                    let error = Chain(&error).to_string();
                    tracing::error!(%job, %step, error, "a registration waits for the next start of the registrar");
                    return None;
                }
            }
        }
        self.end(job).await;
        next
    }

    /// What a step came to; none where the registrar stops.
    async fn done(
        &self,
        record: &JobRecord,
        step: Step,
        cancel: &CancellationToken,
        clock: &StepClock,
    ) -> Option<StepOutput> {
        // What is in a snapshot is published: other registrations may share that one.
        if step < Step::Publish && self.is_cancelled(cancel) {
            return self.cancelled(record, step).await;
        }
        match self.step(record, cancel, clock).await {
            Ok(done) => Some(done),
            Err(failure) if failure.kind != ErrorClass::Cancelled => self.failed(record, step, failure).await,
            Err(_) if self.is_cancelled(cancel) => self.cancelled(record, step).await,
            Err(_) => None,
        }
    }

    fn is_cancelled(&self, cancel: &CancellationToken) -> bool {
        cancel.is_cancelled() && !self.stop.is_cancelled()
    }

    /// Waits for the disk: for as long as it takes while the registrar runs, and for [`STOP_GRACE`] after.
    async fn until_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let ended = async {
            self.stop.cancelled().await;
            tokio::time::sleep(STOP_GRACE).await;
        };
        tokio::select! {
            biased;
            done = work => Some(done),
            () = ended => None,
        }
    }

    async fn failed(&self, record: &JobRecord, step: Step, failure: StepFailure) -> Option<StepOutput> {
        let StepFailure { mut error, kind } = failure;
        if let Err(left) = self.take_out(record, step).await? {
            error = format!("{error} ({left})");
        }
        if record.follows_up {
            tracing::warn!(image = %record.name, %step, %kind, error, "boots that follow up on an image failed");
        } else {
            // Whoever asked for the registration is told; to the log it is an event like others.
            tracing::info!(image = %record.name, %step, %kind, error, "registration failed");
        }
        Some(StepOutput::Failed { error, kind })
    }

    async fn cancelled(&self, record: &JobRecord, step: Step) -> Option<StepOutput> {
        if let Err(left) = self.take_out(record, step).await? {
            let error = format!("it was cancelled, but {left}");
            return Some(StepOutput::Failed { error, kind: ErrorClass::Operator });
        }
        tracing::info!(image = %record.name, %step, "registration cancelled");
        Some(StepOutput::Cancelled)
    }

    /// Takes what the job has put into the volume out again, or says why not. While ZFS is away that waits; none
    /// where the registrar stops meanwhile. What a job that follows up has put there is right, and stays: the next
    /// snapshot has it.
    async fn take_out(&self, record: &JobRecord, step: Step) -> Option<Result<(), String>> {
        let mut taken_out = Ok(());
        while step > Step::Import
            && !record.follows_up
            && let Err(left) = self.volume.discard(record.name.clone()).await
        {
            let left = StepFailure::from(left);
            if left.kind == ErrorClass::Transient {
                let pause = tokio::time::sleep(DISCARD_EVERY);
                self.stop.run_until_cancelled(pause).await?;
                continue;
            }
            taken_out = Err(format!("its cache could not be taken out of the volume: {}", left.error));
            break;
        }
        kill_point(KillPoint::FailureDiscarded);
        Some(taken_out)
    }

    async fn end(&self, job: JobId) {
        kill_point(KillPoint::Published);
        let dir = self.layout.job_dir(job);
        let removed = tokio::task::spawn_blocking(move || remove_scratch(&dir));
        self.until_stopped(removed).await;
        if let Some(record) = self.jobs.record(job) {
            let what = if record.follows_up { "the boots of an image are complete" } else { "registered" };
            if let JobState::Published { snapshot, cache_bytes, .. } = &record.state {
                tracing::info!(image = %record.name, %snapshot, cache_bytes, "{what}");
            }
            // No registration of its own, but a failure like others.
            if !record.follows_up || matches!(record.state, JobState::Failed { .. }) {
                self.metrics.registration_ended(&record);
            }
        }
    }
}

/// What a job that takes this step next has reached.
fn reached(step: Step) -> KillPoint {
    match step {
        Step::Inspect => KillPoint::Submitted,
        Step::Capture => KillPoint::Inspected,
        Step::Verify => KillPoint::Captured,
        Step::Import => KillPoint::Verified,
        Step::Snapshot => KillPoint::Imported,
        Step::Publish => KillPoint::Snapshotted,
    }
}

fn remove_scratch(dir: &Path) {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(dir = %dir.display(), %error, "cannot remove scratch files");
        }
        _ => (),
    }
}
