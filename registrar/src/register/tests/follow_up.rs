//! Images that nodes are given after the first round of boots.

use super::*;
use crate::job::Registration;
use bootstash_base::names::ImageName;
use bootstash_delta::catalog::{Confidence, Manifest};
use std::path::PathBuf;

struct Early {
    bench: Bench,
    /// A base that can be looked at again.
    image: PathBuf,
}

impl Early {
    async fn open(dir: &Path, zfs: &Arc<FakeZfs>) -> Self {
        let image = dir.join("debian.raw");
        if !image.exists() {
            std::fs::write(&image, "an image").unwrap();
        }
        let bench = Bench::open(&dir.join("state"), Arc::clone(zfs)).await;
        bench.capturer.make_first_rounds();
        Self { bench, image }
    }

    /// Begins; gives the job and the one that follows it up.
    async fn begin(&self) -> (JobId, JobId) {
        let request = RegisterRequest::new("debian", &self.image);
        let submitted = self.bench.runner.submit("debian".parse().unwrap(), request).await.unwrap();
        let Submitted::New(job) = submitted else { panic!("{submitted:?}") };
        assert!(matches!(self.bench.outcome_of(job).await, JobOutcome::Registered { .. }));
        (job, JobId(job.0 + 1))
    }

    fn manifest(&self) -> Manifest {
        catalog::read_manifest(&self.bench.layout.mountpoint, &"debian".parse().unwrap()).unwrap()
    }

    fn registered(&self) -> Option<u64> {
        let by_name = self.bench.jobs.by_name();
        by_name[&"debian".parse().unwrap()].snapshot().map(|snapshot| snapshot.number())
    }
}

fn dirs() -> (tempfile::TempDir, Arc<FakeZfs>) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("state")).unwrap();
    (dir, Arc::new(FakeZfs::new()))
}

#[tokio::test]
async fn nodes_have_it_after_the_first_round_and_what_follows_after() {
    let (dir, zfs) = dirs();
    let early = Early::open(dir.path(), &zfs).await;
    early.bench.capturer.hold_following(true);
    let (first, second) = early.begin().await;
    assert_eq!((early.manifest().boots.len(), early.manifest().boots_to_follow), (1, 1));
    assert_eq!(early.registered(), Some(1));
    assert!(early.bench.jobs.being_registered().is_empty(), "it counts as registered");
    let JobOutcome::Registered { doubt, .. } = early.bench.outcome_of(first).await else { panic!() };
    assert!(doubt.unwrap().starts_with("1 of its 2 boots are made; the others follow"));
    // Asked again it is the boots that follow which are under way.
    let request = RegisterRequest::new("debian", &early.image);
    let again = early.bench.runner.submit("debian".parse().unwrap(), request).await.unwrap();
    assert_eq!(again, Submitted::UnderWay(second));
    assert!(!early.bench.jobs.follow_up_failed(&"debian".parse().unwrap()));
    let since = early.manifest().registered;
    early.bench.close().await;

    // After a restart they begin anew.
    let early = Early::open(dir.path(), &zfs).await;
    assert_eq!(early.bench.jobs.unfinished(), [second]);
    early.bench.runner.start(second);
    assert!(matches!(
        early.bench.outcome(second).await,
        JobOutcome::Registered { doubt: None, boots: 2, .. }
    ));
    let manifest = early.manifest();
    assert_eq!((manifest.boots_to_follow, manifest.confidence), (0, Confidence::High));
    assert_eq!((manifest.registered, early.registered()), (since, Some(1)));
    assert_eq!(numbers(&early.bench.log), [(None, 1), (Some(1), 2)]);
    assert_eq!(std::fs::read_dir(early.bench.layout.work()).unwrap().count(), 0);
    assert!(early.bench.jobs.unfinished().is_empty());
    early.bench.close().await;
}

#[tokio::test]
async fn who_wants_all_boots_or_high_confidence_gets_them_before_nodes_do() {
    let (dir, zfs) = dirs();
    let early = Early::open(dir.path(), &zfs).await;
    let (mut complete, mut high) =
        (RegisterRequest::new("a", &early.image), RegisterRequest::new("b", &early.image));
    complete.capture.complete = true;
    high.require = Some(Confidence::High);
    for request in [complete, high] {
        let job = early.bench.submit_as(&request).await;
        early.bench.runner.start(job);
        assert!(matches!(early.bench.outcome(job).await, JobOutcome::Registered { doubt: None, .. }));
    }
    assert_eq!(early.bench.jobs.views().len(), 2, "none follows");
    early.bench.close().await;
}

#[tokio::test]
async fn who_wants_all_boots_is_not_told_to_wait_for_the_first() {
    let (dir, zfs) = dirs();
    let early = Early::open(dir.path(), &zfs).await;
    early.bench.capturer.hold(true);
    let name: ImageName = "debian".parse().unwrap();
    let mut request = RegisterRequest::new("debian", &early.image);
    let first = early.bench.runner.submit(name.clone(), request.clone()).await.unwrap();
    assert_eq!(
        early.bench.runner.submit(name.clone(), request.clone()).await.unwrap(),
        Submitted::UnderWay(JobId(1))
    );
    request.capture.complete = true;
    let error = early.bench.runner.submit(name, request).await.unwrap_err();
    assert!(error.to_string().contains("(job 1); wait for it"), "{error} after {first:?}");
    early.bench.close().await;
}

#[tokio::test]
async fn boots_that_are_cancelled_leave_the_image_and_can_be_asked_for_again() {
    let (dir, zfs) = dirs();
    let early = Early::open(dir.path(), &zfs).await;
    let name: ImageName = "debian".parse().unwrap();
    assert!(early.bench.runner.cancel_follow_up(&name).await.is_none());
    early.bench.capturer.hold_following(true);
    let (_, second) = early.begin().await;
    let cancelled = early.bench.runner.cancel_follow_up(&name).await.unwrap();
    assert!(cancelled.cancelled && cancelled.job.id == second && cancelled.job.follows_up);
    assert_eq!((early.bench.images(), early.manifest().boots_to_follow), (vec!["debian".to_owned()], 1));
    assert_eq!(early.registered(), Some(1));

    early.bench.capturer.hold_following(false);
    let request = RegisterRequest::new("debian", &early.image);
    let again = early.bench.runner.follow_up(name, request).await.unwrap();
    assert_eq!(again, Submitted::New(JobId(3)));
    assert!(matches!(early.bench.outcome(JobId(3)).await, JobOutcome::Registered { doubt: None, .. }));
    assert_eq!(early.manifest().boots_to_follow, 0);
    early.bench.close().await;
}

#[tokio::test]
async fn boots_that_fail_leave_the_image_as_nodes_have_it() {
    for step in [Step::Inspect, Step::Capture, Step::Verify] {
        let (dir, zfs) = dirs();
        let early = Early::open(dir.path(), &zfs).await;
        early.bench.capturer.hold_following(true);
        let (_, second) = early.begin().await;
        early.bench.close().await;
        let mut early = Early::open(dir.path(), &zfs).await;
        early.bench.logs.expect("boots that follow up on an image failed");
        match step {
            Step::Inspect => std::fs::write(&early.image, "another").unwrap(),
            other => early.bench.capturer.fail_at(other),
        }
        early.bench.runner.start(second);
        let JobOutcome::Failed { step: failed, error, .. } = early.bench.outcome(second).await else {
            panic!("{step}")
        };
        assert_eq!(failed, step, "{error}");
        assert_eq!((early.bench.images(), early.registered()), (vec!["debian".to_owned()], Some(1)));
        assert_eq!(early.manifest().boots_to_follow, 1);
        assert!(early.bench.jobs.follow_up_failed(&"debian".parse().unwrap()));
        assert_eq!(std::fs::read_dir(early.bench.layout.work()).unwrap().count(), 0, "{step}");
        early.bench.close().await;
    }
}

#[tokio::test]
async fn a_crash_between_the_two_records_begins_the_boots_once() {
    let (dir, zfs) = dirs();
    let early = Early::open(dir.path(), &zfs).await;
    early.bench.capturer.hold_following(true);
    let (first, second) = early.begin().await;
    let record = early.bench.layout.jobs.join(format!("{first}.json"));
    let mut before = early.bench.jobs.record(first).unwrap();
    let snapshot = early.bench.jobs.by_name()[&"debian".parse().unwrap()].snapshot().cloned().unwrap();
    before.state = JobState::Snapshotted { manifest: Box::new(early.manifest()), snapshot };
    early.bench.close().await;
    std::fs::write(&record, serde_json::to_vec(&before).unwrap()).unwrap();

    let early = Early::open(dir.path(), &zfs).await;
    assert_eq!(early.bench.jobs.unfinished(), [first, second]);
    early.bench.runner.start(first);
    assert!(matches!(early.bench.outcome(first).await, JobOutcome::Registered { .. }));
    assert_eq!(early.bench.jobs.unfinished(), [second], "and no third");
    assert_eq!(early.bench.jobs.by_name().len(), 1);
    assert!(matches!(early.bench.jobs.by_name()[&"debian".parse().unwrap()], Registration::Published(_)));
    early.bench.close().await;
}
