//! All registrations: asked for here, followed from here.
//!
//! Promises: a change is on disk before anybody sees it; changes are made one after the other; who only reads
//! never waits for the disk. The disk is waited for on a thread for what blocks, and a change whose future is
//! dropped meanwhile still ends before the next begins.

use super::{
    AdvanceError, JobId, JobRecord, JobState, JobStore, Registration, StepOutput, StoreError, SubmitError,
};
use bootstash_base::names::ImageName;
use bootstash_net::api::{JobView, Progress, RegisterRequest, Step};
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedMutexGuard, watch};

/// How many registrations are remembered that failed or were cancelled.
const FAILED_KEPT: usize = 50;

/// The registrations, on disk and live.
#[derive(Debug)]
pub struct JobRegistry {
    /// Held for the whole of a change, also by the thread that writes it.
    store: Arc<tokio::sync::Mutex<JobStore>>,
    /// Held to look or to enter, never while the disk works.
    jobs: Mutex<BTreeMap<JobId, Entry>>,
}

type LockedStore = OwnedMutexGuard<JobStore>;

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

impl JobRegistry {
    /// The registrations that lie in `store`.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn load(store: JobStore) -> Result<Self, StoreError> {
        let jobs = store.load()?.into_iter().map(|record| (record.id, Entry::new(record))).collect();
        Ok(Self { store: Arc::new(tokio::sync::Mutex::new(store)), jobs: Mutex::new(jobs) })
    }

    /// Accepts a registration, or finds the one under way for the same image with the same cache.
    ///
    /// # Errors
    /// When another is under way under the name, or the record cannot be written.
    pub async fn submit(&self, name: ImageName, request: &RegisterRequest) -> Result<Submitted, SubmitError> {
        self.submit_as(name, request, false).await
    }

    /// The same for the boots that are still to be made of an image which is published.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub async fn follow_up(
        &self,
        name: ImageName,
        request: &RegisterRequest,
    ) -> Result<Submitted, SubmitError> {
        self.submit_as(name, request, true).await
    }

    async fn submit_as(
        &self,
        name: ImageName,
        request: &RegisterRequest,
        follows_up: bool,
    ) -> Result<Submitted, SubmitError> {
        let store = self.change().await;
        if let Some(record) = self.active(&name) {
            return same_or_taken(&record, request);
        }
        let record = JobRecord { follows_up, ..JobRecord::new(self.next_id(), name, request) };
        let (_store, id) = self.enter(store, record).await?;
        Ok(Submitted::New(id))
    }

    fn next_id(&self) -> JobId {
        JobId(self.lock().keys().last().map_or(1, |last| last.0 + 1))
    }

    /// Enters a new record, on disk first.
    async fn enter(&self, store: LockedStore, record: JobRecord) -> Result<(LockedStore, JobId), StoreError> {
        let id = record.id;
        let (store, record) = written(store, record).await?;
        self.lock().insert(id, Entry::new(record));
        Ok((store, id))
    }

    /// Moves a job on, on disk first. One that is published and leaves boots to follow is followed by another job, which
    /// is given back; at no time is there neither of the two.
    ///
    /// # Errors
    /// When there is no such job, `done` does not follow from its state, or the record cannot be written.
    pub async fn advance(
        &self,
        job: JobId,
        done: StepOutput,
        took: Duration,
    ) -> Result<Option<JobId>, AdvanceError> {
        let store = self.change().await;
        let mut record = self.record(job).ok_or(AdvanceError::NoSuchJob { job })?;
        let (store, next) = match done {
            StepOutput::Published { .. } => self.enter_follow_up(store, &record).await?,
            _ => (store, None),
        };
        if let Some(step) = record.state.next_step() {
            record.step_seconds.push((step, took.as_secs_f64()));
        }
        record.state = record
            .state
            .after(done)
            .map_err(|source| AdvanceError::Illegal { job, source: Box::new(source) })?;
        let (store, record) =
            written(store, record).await.map_err(|source| AdvanceError::Store { job, source })?;
        if let Some(entry) = self.lock().get_mut(&job) {
            entry.record = record;
            entry.show(Progress::default());
        }
        self.forget_old(store).await;
        Ok(next)
    }

    /// Where a crash came after this, it is there already, and goes on by itself.
    async fn enter_follow_up(
        &self,
        store: LockedStore,
        record: &JobRecord,
    ) -> Result<(LockedStore, Option<JobId>), AdvanceError> {
        let next = record.follow_up(self.next_id());
        let active = self.active(&record.name).filter(|active| active.follows_up);
        let (Some(next), None) = (next, active) else { return Ok((store, None)) };
        let entered = self.enter(store, next).await;
        let (store, id) = entered.map_err(|source| AdvanceError::Store { job: record.id, source })?;
        Ok((store, Some(id)))
    }

    async fn change(&self) -> LockedStore {
        Arc::clone(&self.store).lock_owned().await
    }

    /// The newest job under way for an image of this name.
    pub fn active(&self, name: &ImageName) -> Option<JobRecord> {
        let jobs = self.lock();
        let records = jobs.values().map(|entry| &entry.record);
        let mut active = records.filter(|record| record.name == *name && record.state.next_step().is_some());
        active.next_back().cloned()
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

    /// Whether the newest job that followed up on an image failed: then nodes may lack what it found.
    pub fn follow_up_failed(&self, name: &ImageName) -> bool {
        let jobs = self.lock();
        let newest = jobs.values().map(|entry| &entry.record).rfind(|record| record.name == *name);
        newest.is_some_and(|record| record.follows_up && matches!(record.state, JobState::Failed { .. }))
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

    /// The newest job that registers an image of this name; those that follow up do not.
    pub fn latest(&self, name: &ImageName) -> Option<JobRecord> {
        let jobs = self.lock();
        registering(&jobs).rfind(|record| record.name == *name).cloned()
    }

    /// The newest registration of each name, all of them looked at once.
    pub fn by_name(&self) -> HashMap<ImageName, Registration> {
        let jobs = self.lock();
        let newest = registering(&jobs).map(|record| (record.name.clone(), Registration::of(record)));
        // A later one takes the place of an earlier.
        let mut newest: HashMap<_, _> = newest.collect();
        for record in registering(&jobs).filter(|record| record.state.next_step().is_some()) {
            newest.insert(record.name.clone(), Registration::UnderWay);
        }
        newest
    }

    /// The names of the images that are being registered.
    pub fn being_registered(&self) -> BTreeSet<ImageName> {
        let jobs = self.lock();
        let open = registering(&jobs).filter(|record| record.state.next_step().is_some());
        open.map(|record| record.name.clone()).collect()
    }

    /// Whether an image of this name is being registered, or followed up, and at which step.
    pub fn active_step(&self, name: &ImageName) -> Option<Step> {
        self.active(name).and_then(|record| record.state.next_step())
    }

    async fn forget_old(&self, store: LockedStore) {
        let old = old(&self.lock());
        if old.is_empty() {
            return;
        }
        let removing = blocking(move || {
            let removed = |id: &JobId| match store.remove(*id) {
                Ok(()) => true,
                Err(error) => {
                    tracing::warn!(%error, "cannot forget an old registration");
                    false
                }
            };
            old.into_iter().filter(removed).collect::<Vec<_>>()
        });
        let removed = removing.await;
        self.lock().retain(|id, _| !removed.contains(id));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<JobId, Entry>> {
        // Nothing panics while it is held; were it so, each entry is still whole.
        self.jobs.lock()
    }
}

/// Writes a record where it blocks nobody else; gives the store back for what follows.
async fn written(store: LockedStore, record: JobRecord) -> Result<(LockedStore, JobRecord), StoreError> {
    blocking(move || store.save(&record).map(|()| (store, record))).await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// Those that bring an image, and not those that follow up on one.
fn registering(jobs: &BTreeMap<JobId, Entry>) -> impl DoubleEndedIterator<Item = &JobRecord> {
    jobs.values().map(|entry| &entry.record).filter(|record| !record.follows_up)
}

/// Of each name the newest registration that came to something is kept, and what followed it up, and the last failures.
fn old(jobs: &BTreeMap<JobId, Entry>) -> Vec<JobId> {
    let records = || jobs.values().map(|entry| &entry.record);
    let came_to_nothing =
        |record: &&JobRecord| matches!(record.state, JobState::Failed { .. } | JobState::Cancelled { .. });
    let failed = records().filter(came_to_nothing);
    let failed: Vec<JobId> = failed.map(|record| record.id).collect();
    let mut newest: HashMap<(&ImageName, bool), JobId> = HashMap::new();
    let published = records().filter(|record| matches!(record.state, JobState::Published { .. }));
    let superseded: Vec<JobId> =
        published.filter_map(|record| newest.insert((&record.name, record.follows_up), record.id)).collect();
    failed.iter().copied().take(failed.len().saturating_sub(FAILED_KEPT)).chain(superseded).collect()
}

fn same_or_taken(record: &JobRecord, request: &RegisterRequest) -> Result<Submitted, SubmitError> {
    // A registration under way may promise more than was asked for, never less.
    let complete = !request.capture.complete || record.capture.complete || record.follows_up;
    let promised = complete && (request.require.is_none() || record.require == request.require);
    if record.source == request.source && record.cache == request.cache && promised {
        return Ok(Submitted::UnderWay(record.id));
    }
    Err(SubmitError::NameTaken {
        name: record.name.clone(),
        job: record.id,
        source_path: record.source.clone(),
        cache: record.cache.clone(),
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use bootstash_base::error::{Classified, ErrorClass};
    use bootstash_base::files::replace_file;
    use std::path::Path;
    use std::sync::mpsc;

    fn request(name: &str) -> RegisterRequest {
        let source = format!("/srv/images/{name}.raw");
        RegisterRequest::new(name, source)
    }

    /// Each write tells that it has begun, and ends when it is let go on.
    fn slow_disk(dir: &Path) -> (JobStore, tokio::sync::mpsc::UnboundedReceiver<()>, mpsc::Sender<()>) {
        let (begun, writes) = tokio::sync::mpsc::unbounded_channel();
        let (go_on, held) = mpsc::channel();
        let store = JobStore::writing_with(dir.to_owned(), move |path, bytes| {
            begun.send(()).unwrap();
            held.recv().map_err(std::io::Error::other)?;
            replace_file(path, bytes)
        });
        (store, writes, go_on)
    }

    #[tokio::test]
    async fn who_reads_is_answered_while_the_disk_hangs() {
        let dir = tempfile::tempdir().unwrap();
        let (store, mut writes, go_on) = slow_disk(dir.path());
        let jobs = Arc::new(JobRegistry::load(store).unwrap());
        let submit = async |jobs: Arc<JobRegistry>| {
            jobs.submit("debian".parse().unwrap(), &request("debian")).await.unwrap()
        };
        let first = tokio::spawn(submit(Arc::clone(&jobs)));
        writes.recv().await.unwrap();
        assert!(jobs.views().is_empty() && jobs.unfinished().is_empty() && jobs.watch(JobId(1)).is_none());
        go_on.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Submitted::New(JobId(1)));

        let advancing = tokio::spawn({
            let (jobs, done) =
                (Arc::clone(&jobs), StepOutput::Failed { error: "no".to_owned(), kind: ErrorClass::Busy });
            async move { jobs.advance(JobId(1), done, Duration::ZERO).await }
        });
        writes.recv().await.unwrap();
        // Not on disk yet, so that nobody sees it.
        assert_eq!(jobs.active_step(&"debian".parse().unwrap()), Some(Step::Inspect));
        assert_eq!(jobs.views().len(), 1);
        go_on.send(()).unwrap();
        advancing.await.unwrap().unwrap();
        assert_eq!(jobs.active_step(&"debian".parse().unwrap()), None);
    }

    #[tokio::test]
    async fn a_change_that_nobody_waits_for_ends_before_the_next_begins() {
        let dir = tempfile::tempdir().unwrap();
        let (store, mut writes, go_on) = slow_disk(dir.path());
        let jobs = JobRegistry::load(store).unwrap();
        let name = |name: &str| name.parse::<ImageName>().unwrap();
        let debian = request("debian");
        tokio::select! {
            _ = jobs.submit(name("debian"), &debian) => panic!("the disk hangs"),
            begun = writes.recv() => begun.unwrap(),
        }
        let alpine = request("alpine");
        let next = jobs.submit(name("alpine"), &alpine);
        tokio::pin!(next);
        assert!(futures::poll!(&mut next).is_pending());
        assert!(writes.try_recv().is_err());
        go_on.send(()).unwrap();
        go_on.send(()).unwrap();
        assert_eq!(next.await.unwrap(), Submitted::New(JobId(1)));
        let kept = JobStore::new(dir.path().to_owned()).load().unwrap();
        assert_eq!(kept.iter().map(|record| record.name.to_string()).collect::<Vec<_>>(), ["alpine"]);
    }

    #[tokio::test]
    async fn a_job_that_nobody_submitted_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let jobs = JobRegistry::load(JobStore::new(dir.path().to_owned())).unwrap();
        let error = jobs.advance(JobId(7), StepOutput::Verified, Duration::ZERO).await.unwrap_err();
        assert_eq!((error.to_string().as_str(), error.kind()), ("there is no job 7", ErrorClass::Permanent));
        assert!(jobs.watch(JobId(7)).is_none());
    }
}
