//! The steps of a registration, each from what the one before left.

use super::Inner;
use crate::capture::Captured;
use crate::job::{JobId, JobRecord, JobState, StepOutput};
use crate::register::manifest::manifest;
use crate::register::waiting::{StepClock, wait_for};
use crate::register::{StepFailure, look_up, refuse_doubt};
use crate::volume::{ImportRequest, VolumeError};
use bootstash_base::error::{Chain, ErrorClass};
use bootstash_base::names::SnapshotName;
use bootstash_delta::catalog;
use bootstash_delta::catalog::Manifest;
use bootstash_disk::Source;
use bootstash_net::api::Progress;
use std::path::Path;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const PROGRESS_EVERY: Duration = Duration::from_millis(250);

impl Inner {
    pub(super) async fn step(
        &self,
        record: &JobRecord,
        cancel: &CancellationToken,
        clock: &StepClock,
    ) -> Result<StepOutput, StepFailure> {
        match &record.state {
            JobState::Submitted if record.follows_up => {
                unless_cancelled(cancel, self.inspect_published(record)).await.map(StepOutput::Inspected)
            }
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
        let mut manifest = manifest(record.name.clone(), source.clone(), captured);
        if record.follows_up {
            manifest.registered = self.published(record).await?.manifest.registered;
        }
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
        let boots = self.boots(record).await?;
        let (progress, mut seen) = watch::channel(Progress::default());
        let capture = async {
            let turn = async { Ok(self.captures.acquire().await) };
            let what = format!("for another capture to end; {} run at once", self.parallel);
            let _permit = wait_for(&progress, &what, unless_cancelled(cancel, turn)).await?;
            self.capturer.capture(source, &record.capture, boots, &dir, &progress, cancel).await
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
        if record.follows_up {
            self.published(record).await?;
        } else {
            self.refuse_another(record).await?;
        }
        let import = async |progress: &watch::Sender<Progress>| {
            let (cache, manifest) = (self.layout.captured_cache(record.id), manifest.clone());
            progress.send_modify(|progress| progress.total_bytes = Some(manifest.cache.bytes));
            self.volume.import(ImportRequest { cache, manifest, progress: progress.clone() }).await
        };
        self.on_volume(record.id, clock, import).await?;
        Ok(StepOutput::Imported)
    }

    /// Another registration under the name can have ended while this one was being taken.
    async fn refuse_another(&self, record: &JobRecord) -> Result<(), StepFailure> {
        let (name, source) = (record.name.clone(), record.source.clone());
        let registered = self.reader.read(move |mountpoint| look_up(mountpoint, &name, &source)).await??;
        if let Some(registered) = registered {
            self.bases.unchanged(registered).await?;
        }
        Ok(())
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
