//! All registrations: asked for here, followed from here.

use super::{IllegalTransition, JobId, JobRecord, JobState, JobStore, StepOutput, StoreError};
use bootstash_base::error::{Classified, ErrorClass};
use bootstash_base::names::ImageName;
use bootstash_net::api::{JobView, Progress, RegisterRequest, Step};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// So many failed registrations are remembered.
const FAILED_KEPT: usize = 50;

/// The registrations, on disk and live.
#[derive(Debug)]
pub struct JobRegistry {
    store: JobStore,
    jobs: Mutex<BTreeMap<JobId, Entry>>,
}

#[derive(Debug)]
struct Entry {
    record: JobRecord,
    view: watch::Sender<JobView>,
}

/// What asking for a registration came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// A new job, to be run.
    New(JobId),
    /// The same was asked for before and is under way.
    UnderWay(JobId),
}

/// A registration could not be taken or moved on.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Another image is being registered under the name, or this one with another cache.
    #[error(
        "image {name} is being registered from {}{} right now (job {job}); wait for it, or choose another name",
        .source_path.display(), WithCache(.cache.as_deref())
    )]
    NameTaken {
        /// The name.
        name: ImageName,
        /// The job that has it.
        job: JobId,
        /// What that job registers.
        source_path: PathBuf,
        /// The cache it adopts.
        cache: Option<PathBuf>,
    },
    /// The record could not be kept.
    #[error("cannot take the registration")]
    Store(#[from] StoreError),
    /// A step reported something out of order.
    #[error("cannot move the registration on")]
    Illegal(#[from] IllegalTransition),
}

impl Classified for SubmitError {
    fn kind(&self) -> ErrorClass {
        match self {
            Self::NameTaken { .. } => ErrorClass::Busy,
            Self::Store(_) => ErrorClass::Operator,
            Self::Illegal(_) => ErrorClass::Permanent,
        }
    }
}

impl JobRegistry {
    /// The registrations that lie in `store`.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn load(store: JobStore) -> Result<Self, StoreError> {
        let jobs = store.load()?.into_iter().map(|record| (record.id, Entry::new(record))).collect();
        Ok(Self { store, jobs: Mutex::new(jobs) })
    }

    /// Takes a registration, or finds the one under way for the same image with the same cache.
    ///
    /// # Errors
    /// When another is under way under the name, or the record cannot be kept.
    pub fn submit(&self, name: ImageName, request: &RegisterRequest) -> Result<Submitted, SubmitError> {
        let mut jobs = self.lock();
        let active = jobs.values().map(|entry| &entry.record);
        let mut active = active.filter(|record| record.name == name && record.state.next_step().is_some());
        if let Some(record) = active.next_back() {
            return same_or_taken(record, request);
        }
        let id = JobId(jobs.keys().last().map_or(1, |last| last.0 + 1));
        let record = JobRecord::new(id, name, request);
        self.store.save(&record)?;
        jobs.insert(id, Entry::new(record));
        Ok(Submitted::New(id))
    }

    /// Moves a job on, on disk first.
    ///
    /// # Errors
    /// When `done` does not follow from its state, or the record cannot be kept.
    pub fn advance(&self, id: JobId, done: StepOutput, took: Duration) -> Result<JobState, SubmitError> {
        let mut jobs = self.lock();
        let Some(entry) = jobs.get_mut(&id) else { return Ok(JobState::Submitted) };
        let mut record = entry.record.clone();
        if let Some(step) = record.state.next_step() {
            record.step_seconds.push((step, took.as_secs_f64()));
        }
        record.state = record.state.after(done)?;
        self.store.save(&record)?;
        entry.record = record;
        entry.show(Progress::default());
        let state = entry.record.state.clone();
        self.forget_old(&mut jobs);
        Ok(state)
    }

    /// Shows how far a job is within its step; not kept on disk.
    pub fn progress(&self, id: JobId, progress: Progress) {
        if let Some(entry) = self.lock().get(&id) {
            entry.show(progress);
        }
    }

    /// A job's record.
    pub fn record(&self, id: JobId) -> Option<JobRecord> {
        self.lock().get(&id).map(|entry| entry.record.clone())
    }

    /// All jobs as seen from outside, in order of number.
    pub fn views(&self) -> Vec<JobView> {
        self.lock().values().map(|entry| entry.view.borrow().clone()).collect()
    }

    /// To follow a job.
    pub fn watch(&self, id: JobId) -> Option<watch::Receiver<JobView>> {
        self.lock().get(&id).map(|entry| entry.view.subscribe())
    }

    /// Jobs that have not ended, in order of number.
    pub fn unfinished(&self) -> Vec<JobId> {
        let jobs = self.lock();
        let open = jobs.values().filter(|entry| entry.record.state.next_step().is_some());
        open.map(|entry| entry.record.id).collect()
    }

    /// The newest job for an image of this name.
    pub fn latest(&self, name: &ImageName) -> Option<JobRecord> {
        let jobs = self.lock();
        jobs.values().map(|entry| &entry.record).rfind(|record| record.name == *name).cloned()
    }

    /// Whether an image of this name is being registered, and at which step.
    pub fn active_step(&self, name: &ImageName) -> Option<Step> {
        self.lock()
            .values()
            .filter(|entry| entry.record.name == *name)
            .find_map(|entry| entry.record.state.next_step())
    }

    /// Of each name the newest registration that came to something is kept, and the last failures.
    fn forget_old(&self, jobs: &mut BTreeMap<JobId, Entry>) {
        let records = || jobs.values().map(|entry| &entry.record);
        let failed = records().filter(|record| matches!(record.state, JobState::Failed { .. }));
        let failed: Vec<JobId> = failed.map(|record| record.id).collect();
        let published = |record: &&JobRecord| matches!(record.state, JobState::Published { .. });
        let newer = |old: &JobRecord| {
            records().filter(published).any(|record| record.name == old.name && record.id > old.id)
        };
        let superseded = records().filter(published).filter(|record| newer(record)).map(|record| record.id);
        let old: Vec<JobId> =
            failed.iter().copied().take(failed.len().saturating_sub(FAILED_KEPT)).chain(superseded).collect();
        for id in &old {
            match self.store.remove(*id) {
                Ok(()) => drop(jobs.remove(id)),
                Err(error) => tracing::warn!(%error, "cannot forget an old registration"),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<JobId, Entry>> {
        // Nothing panics while it is held; were it so, each entry is still whole.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn same_or_taken(record: &JobRecord, request: &RegisterRequest) -> Result<Submitted, SubmitError> {
    if record.source == request.source && record.cache == request.cache {
        return Ok(Submitted::UnderWay(record.id));
    }
    Err(SubmitError::NameTaken {
        name: record.name.clone(),
        job: record.id,
        source_path: record.source.clone(),
        cache: record.cache.clone(),
    })
}

/// The cache that a registration adopts, as words to put behind its source.
struct WithCache<'a>(Option<&'a Path>);

impl fmt::Display for WithCache<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |cache| write!(f, " with the cache {}", cache.display()))
    }
}

impl Entry {
    fn new(record: JobRecord) -> Self {
        let view = watch::Sender::new(record.view(1, Progress::default()));
        Self { record, view }
    }

    fn show(&self, progress: Progress) {
        self.view.send_modify(|view| *view = self.record.view(view.seq + 1, progress));
    }
}
