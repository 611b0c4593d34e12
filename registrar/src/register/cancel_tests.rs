//! Cancelling, and waiting for a turn, with captures that take no guest.

use super::testing::{FakeCapturer, manifest};
use super::tests::{Bench, DEADLINE};
use crate::job::{JobId, StepOutput};
use crate::volume::ImportRequest;
use bootstash_net::api::{JobOutcome, JobView, Step};
use bootstash_zfs::fake::{FakeZfs, Verb};
use std::sync::Arc;
use std::time::Duration;

async fn bench(dir: &tempfile::TempDir) -> Bench {
    Bench::open(dir.path(), Arc::new(FakeZfs::new())).await
}

async fn seen(bench: &Bench, job: JobId, what: impl FnMut(&JobView) -> bool) -> JobView {
    let mut view = bench.jobs.watch(job).unwrap();
    let seen = tokio::time::timeout(DEADLINE, view.wait_for(what)).await;
    seen.unwrap().unwrap().clone()
}

fn is_left(bench: &Bench) -> bool {
    !bench.images().is_empty() || std::fs::read_dir(bench.layout.work()).unwrap().count() > 0
}

#[tokio::test]
async fn a_cancelled_capture_leaves_nothing_and_cancelling_again_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(&dir).await;
    bench.capturer.hold(true);
    let job = bench.submit("debian").await;
    bench.runner.start(job);
    seen(&bench, job, |view| view.step == Step::Capture).await;
    let reply = bench.runner.cancel(job).await.unwrap();
    assert!(reply.cancelled);
    assert_eq!(reply.job.outcome, Some(JobOutcome::Cancelled { step: Step::Capture }));
    assert_eq!(bench.outcome(job).await, JobOutcome::Cancelled { step: Step::Capture });
    assert!(!is_left(&bench));

    let again = bench.runner.cancel(job).await.unwrap();
    assert_eq!((again.cancelled, again.job.outcome), (false, reply.job.outcome));
    assert!(bench.runner.cancel(JobId(99)).await.is_none());
    bench.capturer.hold(false);
    assert!(matches!(bench.register("debian").await, JobOutcome::Registered { .. }));
    bench.close().await;
}

#[tokio::test]
async fn a_cancelled_job_stays_so_after_a_restart() {
    let (dir, zfs) = (tempfile::tempdir().unwrap(), Arc::new(FakeZfs::new()));
    let bench = Bench::open(dir.path(), zfs.clone()).await;
    bench.capturer.hold(true);
    let job = bench.submit("debian").await;
    bench.runner.start(job);
    assert!(bench.runner.cancel(job).await.unwrap().cancelled);
    bench.close().await;
    let bench = Bench::open(dir.path(), zfs).await;
    assert!(bench.jobs.unfinished().is_empty());
    assert!(matches!(bench.jobs.views()[0].outcome, Some(JobOutcome::Cancelled { .. })));
    bench.close().await;
}

#[tokio::test]
async fn what_is_imported_already_is_taken_out_again() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(&dir).await;
    let job = bench.submit("debian").await;
    let manifest = manifest("debian");
    FakeCapturer::write_cache(&bench.layout.job_dir(job));
    let import = ImportRequest {
        cache: bench.layout.captured_cache(job),
        manifest: manifest.clone(),
        progress: Default::default(),
    };
    bench.volume.import(import).await.unwrap();
    let (source, captured) = (manifest.source.clone(), Box::new(manifest));
    let steps = [
        StepOutput::Inspected(source),
        StepOutput::Captured(captured),
        StepOutput::Verified,
        StepOutput::Imported,
    ];
    for done in steps {
        bench.jobs.advance(job, done, Duration::ZERO).await.unwrap();
    }
    bench.runner.start(job);
    assert!(bench.runner.cancel(job).await.unwrap().cancelled);
    assert_eq!(bench.outcome(job).await, JobOutcome::Cancelled { step: Step::Snapshot });
    assert!(!is_left(&bench) && bench.log.now().snapshots.is_empty());
    bench.close().await;
}

#[tokio::test]
async fn what_is_registered_is_not_cancelled() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(&dir).await;
    let job = bench.submit("debian").await;
    bench.runner.start(job);
    bench.outcome(job).await;
    let reply = bench.runner.cancel(job).await.unwrap();
    assert!(!reply.cancelled && matches!(reply.job.outcome, Some(JobOutcome::Registered { .. })));
    assert_eq!(bench.images(), ["debian"]);
    bench.close().await;
}

#[tokio::test]
async fn who_waits_for_a_turn_says_so_and_goes_on_when_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(&dir).await;
    bench.capturer.hold(true);
    // The bench captures two at once.
    let mut jobs = Vec::new();
    for name in ["a", "b", "c"] {
        let job = bench.submit(name).await;
        bench.runner.start(job);
        seen(&bench, job, |view| view.step == Step::Capture).await;
        jobs.push(job);
    }
    let waits = seen(&bench, jobs[2], |view| view.progress.waiting.is_some()).await;
    assert_eq!(waits.progress.waiting.unwrap(), "for another capture to end; 2 run at once");
    bench.capturer.hold(false);
    assert!(bench.runner.cancel(jobs[0]).await.unwrap().cancelled);
    assert!(matches!(bench.outcome_of(jobs[2]).await, JobOutcome::Registered { .. }));
    let view = bench.jobs.watch(jobs[2]).unwrap().borrow().clone();
    assert_eq!(view.progress.waiting, None);
    bench.runner.cancel(jobs[1]).await.unwrap();
    bench.close().await;
}

#[tokio::test]
async fn who_waits_for_the_volume_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(&dir).await;
    let mut sending = bench.zfs.hang_next(Verb::Send);
    let [first, second] = ["a", "b"].map(|name| bench.submit(name));
    let (first, second) = (first.await, second.await);
    bench.runner.start(first);
    sending.reached().await;
    bench.runner.start(second);
    let waits = seen(&bench, second, |view| view.progress.waiting.is_some()).await;
    assert_eq!(waits.step, Step::Import);
    assert_eq!(waits.progress.waiting.unwrap(), "for the volume, which others are changing");
    sending.release();
    for job in [first, second] {
        assert!(matches!(bench.outcome_of(job).await, JobOutcome::Registered { .. }));
    }
    bench.close().await;
}
