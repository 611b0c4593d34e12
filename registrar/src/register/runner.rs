//! Runs jobs: one step after the other, each result on disk before the next begins.

use super::cancels::Cancels;
use super::manifest::manifest;
use super::waiting::{StepClock, wait_for};
use super::{BaseComparison, Capturer, StepFailure, look_up, refuse_doubt};
use crate::capture::Captured;
use crate::job::{JobId, JobRecord, JobRegistry, JobState, StepOutput, SubmitError, Submitted};
use crate::layout::Layout;
use crate::metrics::Metrics;
use crate::volume::{ImportRequest, VolumeError, VolumeHandle, VolumeReader};
use bootstash_base::error::{Chain, ErrorClass};
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::names::{ImageName, SnapshotName};
use bootstash_delta::catalog;
use bootstash_delta::catalog::Manifest;
use bootstash_disk::Source;
use bootstash_net::api::{CancelReply, JobOutcome, Progress, RegisterRequest, Step};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const PROGRESS_EVERY: Duration = Duration::from_millis(250);
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
        let runner = self.clone();
        let submitting = self.inner.tasks.spawn(async move {
            let submitted = runner.inner.until_stopped(runner.inner.jobs.submit(name.clone(), &request)).await;
            let submitted = submitted.ok_or(SubmitError::Stopping)??;
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

    /// Runs a job in a task of its own.
    pub fn start(&self, job: JobId) {
        let inner = Arc::clone(&self.inner);
        let cancel = inner.cancels.of_job(job, &inner.stop);
        self.inner.tasks.spawn(async move {
            inner.run(job, &cancel).await;
            inner.cancels.forget(job);
        });
    }

    /// Cancels a job, and waits for its end, on disk. None where there is no such job. One that is being published
    /// already is published.
    pub async fn cancel(&self, job: JobId) -> Option<CancelReply> {
        let mut view = self.inner.jobs.watch(job)?;
        let ended_before = view.borrow().outcome.is_some();
        if !ended_before && self.inner.cancels.cancel(job) {
            tracing::info!(%job, "a registration is being cancelled");
        }
        let ended = view.wait_for(|view| view.outcome.is_some()).await.ok()?.clone();
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
    /// Runs a job to its end, or until the registrar stops: then it goes on at the next start.
    async fn run(&self, job: JobId, cancel: &CancellationToken) {
        while let Some(record) = self.jobs.record(job) {
            let Some(step) = record.state.next_step() else { break };
            kill_point(reached(step));
            let clock = StepClock::start();
            let Some(done) = self.done(&record, step, cancel, &clock).await else { return };
            // What the disk writes later is what the next start finds.
            match self.until_stopped(self.jobs.advance(job, done, clock.worked())).await {
                Some(Ok(())) => (),
                Some(Err(error)) => {
                    let error = Chain(&error).to_string();
                    tracing::error!(%job, %step, error, "a registration waits for the next start of the registrar");
                    return;
                }
                None => return,
            }
        }
        self.end(job).await;
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

    async fn step(
        &self,
        record: &JobRecord,
        cancel: &CancellationToken,
        clock: &StepClock,
    ) -> Result<StepOutput, StepFailure> {
        match &record.state {
            JobState::Submitted => {
                let inspect = self.capturer.inspect(&record.source, record.format);
                let mut source = unless_cancelled(cancel, inspect).await?;
                source.firmware = record.capture.firmware.unwrap_or(source.firmware);
                Ok(StepOutput::Inspected(source))
            }
            JobState::Inspected { source } => self.capture(record, source, cancel, clock).await,
            JobState::Captured { manifest } => self.verify(record, manifest, cancel).await,
            JobState::Verified { manifest } => self.import(record, manifest, clock).await,
            JobState::Imported { .. } => self.snapshot(record, clock).await,
            JobState::Snapshotted { snapshot, .. } => self.publish(record, snapshot, clock).await,
            ended => Err(StepFailure {
                error: format!("a job at {ended:?} has no next step"),
                kind: ErrorClass::Permanent,
            }),
        }
    }

    /// A crash between taking a failed image out and writing that down leaves a job that goes on here.
    async fn is_in_the_head(&self, record: &JobRecord) -> Result<(), StepFailure> {
        let name = record.name.clone();
        match self.reader.read(move |mountpoint| catalog::read_manifest(mountpoint, &name)).await? {
            Ok(_) => Ok(()),
            Err(error) => Err(StepFailure { error: Chain(&error).to_string(), kind: ErrorClass::Transient }),
        }
    }

    async fn capture(
        &self,
        record: &JobRecord,
        source: &Source,
        cancel: &CancellationToken,
        clock: &StepClock,
    ) -> Result<StepOutput, StepFailure> {
        let captured = match &record.cache {
            Some(cache) => self.adopt(record, source, cache, cancel).await?,
            None => self.boot(record, source, cancel, clock).await?,
        };
        let manifest = manifest(record.name.clone(), source.clone(), captured);
        refuse_doubt(record.require, &manifest)?;
        Ok(StepOutput::Captured(Box::new(manifest)))
    }

    /// Boots nothing, so it waits for none of the boots that run.
    async fn adopt(
        &self,
        record: &JobRecord,
        source: &Source,
        cache: &Path,
        cancel: &CancellationToken,
    ) -> Result<Captured, StepFailure> {
        let dir = self.layout.job_dir(record.id);
        unless_cancelled(cancel, self.capturer.adopt(source, cache, &dir)).await
    }

    async fn boot(
        &self,
        record: &JobRecord,
        source: &Source,
        cancel: &CancellationToken,
        clock: &StepClock,
    ) -> Result<Captured, StepFailure> {
        let dir = self.layout.job_dir(record.id);
        let (progress, mut seen) = watch::channel(Progress::default());
        let capture = async {
            let turn = async { Ok(self.captures.acquire().await) };
            let what = format!("for another capture to end; {} run at once", self.parallel);
            let _permit = wait_for(&progress, &what, unless_cancelled(cancel, turn)).await?;
            self.capturer.capture(source, &record.capture, &dir, &progress, cancel).await
        };
        let captured = self.relay(record.id, &mut seen, capture).await;
        clock.leave_out(progress.borrow().waited_seconds);
        captured
    }

    async fn verify(
        &self,
        record: &JobRecord,
        manifest: &Manifest,
        cancel: &CancellationToken,
    ) -> Result<StepOutput, StepFailure> {
        let cache = self.layout.captured_cache(record.id);
        let verified = unless_cancelled(cancel, self.capturer.verify(&cache, &manifest.source)).await;
        verified.map(|()| StepOutput::Verified).map_err(|failure| name_adopted(record, failure))
    }

    async fn import(
        &self,
        record: &JobRecord,
        manifest: &Manifest,
        clock: &StepClock,
    ) -> Result<StepOutput, StepFailure> {
        // Another registration under the name can have ended while this one was being taken.
        let (name, source) = (record.name.clone(), record.source.clone());
        let registered = self.reader.read(move |mountpoint| look_up(mountpoint, &name, &source)).await??;
        if let Some(registered) = registered {
            self.bases.unchanged(registered).await?;
        }
        let import = async |progress: &watch::Sender<Progress>| {
            let (cache, manifest) = (self.layout.captured_cache(record.id), manifest.clone());
            progress.send_modify(|progress| progress.total_bytes = Some(manifest.cache.bytes));
            self.volume.import(ImportRequest { cache, manifest, progress: progress.clone() }).await
        };
        self.on_volume(record.id, clock, import).await?;
        Ok(StepOutput::Imported)
    }

    async fn snapshot(&self, record: &JobRecord, clock: &StepClock) -> Result<StepOutput, StepFailure> {
        self.is_in_the_head(record).await?;
        let snapshot = async |progress: &watch::Sender<Progress>| self.volume.snapshot(progress).await;
        Ok(StepOutput::Snapshotted(self.on_volume(record.id, clock, snapshot).await?))
    }

    async fn publish(
        &self,
        record: &JobRecord,
        snapshot: &SnapshotName,
        clock: &StepClock,
    ) -> Result<StepOutput, StepFailure> {
        self.is_in_the_head(record).await?;
        let publish =
            async |progress: &watch::Sender<Progress>| self.volume.publish(snapshot.clone(), progress).await;
        let delta = self.on_volume(record.id, clock, publish).await?;
        Ok(StepOutput::Published { delta_bytes: delta.bytes })
    }

    /// Work of the volume's task, whose progress is shown; that others come first is said, and no time of this step.
    async fn on_volume<T>(
        &self,
        job: JobId,
        clock: &StepClock,
        work: impl AsyncFnOnce(&watch::Sender<Progress>) -> Result<T, VolumeError>,
    ) -> Result<T, VolumeError> {
        let (progress, mut seen) = watch::channel(Progress::default());
        let done = self.relay(job, &mut seen, work(&progress)).await;
        clock.leave_out(progress.borrow().waited_seconds);
        done
    }

    /// Shows a step's progress while it runs, at most every [`PROGRESS_EVERY`].
    async fn relay<T>(
        &self,
        job: JobId,
        seen: &mut watch::Receiver<Progress>,
        work: impl Future<Output = T>,
    ) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                result = &mut work => break result,
                () = tokio::time::sleep(PROGRESS_EVERY) => {
                    if seen.has_changed().unwrap_or(false) {
                        let progress = seen.borrow_and_update().clone();
                        self.jobs.progress(job, progress);
                    }
                }
            }
        }
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
        // Whoever asked for the registration is told; to the log it is an event like others.
        tracing::info!(image = %record.name, %step, %kind, error, "registration failed");
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
    /// where the registrar stops meanwhile.
    async fn take_out(&self, record: &JobRecord, step: Step) -> Option<Result<(), String>> {
        let mut taken_out = Ok(());
        while step > Step::Import
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
            if let JobState::Published { snapshot, cache_bytes, .. } = &record.state {
                tracing::info!(image = %record.name, %snapshot, cache_bytes, "registered");
            }
            self.metrics.registration_ended(&record);
        }
    }
}

/// Cancelled is what the registrar's end cancels, too: then the job goes on at the next start.
async fn unless_cancelled<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T, StepFailure>>,
) -> Result<T, StepFailure> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => {
            Err(StepFailure { error: "it was cancelled".to_owned(), kind: ErrorClass::Cancelled })
        }
        result = work => result,
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

/// What failed was a copy, in scratch space, of a file that somebody gave: that one is to be named.
fn name_adopted(record: &JobRecord, failure: StepFailure) -> StepFailure {
    let Some(cache) = record.cache.as_ref().filter(|_| failure.kind == ErrorClass::Permanent) else {
        return failure;
    };
    let error = format!(
        "{} (this cache was adopted from {}; if that is of another image, register without it)",
        failure.error,
        cache.display()
    );
    StepFailure { error, ..failure }
}

fn remove_scratch(dir: &Path) {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(dir = %dir.display(), %error, "cannot remove scratch files");
        }
        _ => (),
    }
}
