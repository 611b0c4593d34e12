//! Registering on ZFS in memory, with captures that take no guest.

mod adopt;
mod follow_up;
mod mount_point;

use super::testing::{FakeCapturer, manifest};
use super::{Capturer, Runner};
use crate::job::{JobId, JobRegistry, JobState, JobStore, StepOutput, Submitted};
use crate::layout::Layout;
use crate::metrics::Metrics;
use crate::nodes::Nodes;
use crate::volume::{PublicationLog, VolumeHandle, VolumeReader, VolumeTask};
use bootstash_base::error::ErrorClass;
use bootstash_base::testing::{LogWatch, fail_on_warnings};
use bootstash_daemon::config::RegistrarConfig;
use bootstash_delta::catalog;
use bootstash_net::api::{JobOutcome, RegisterRequest, Step};
use bootstash_zfs::fake::{FakeZfs, Verb};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// A registrar without its HTTP.
pub(super) struct Bench {
    pub(super) zfs: Arc<FakeZfs>,
    pub(super) layout: Layout,
    pub(super) jobs: Arc<JobRegistry>,
    pub(super) volume: VolumeHandle,
    pub(super) log: PublicationLog,
    pub(super) capturer: Arc<FakeCapturer>,
    stop: CancellationToken,
    pub(super) runner: Runner,
    logs: LogWatch,
}

impl Bench {
    pub(super) async fn open(state_dir: &Path, zfs: Arc<FakeZfs>) -> Self {
        let logs = fail_on_warnings();
        let config = config(state_dir);
        let layout = Layout::new(&config).unwrap();
        layout.make_dirs().unwrap();
        let nodes = Arc::new(Nodes::load(layout.nodes_file.clone()).unwrap());
        let jobs = Arc::new(JobRegistry::load(JobStore::new(layout.jobs.clone())).unwrap());
        let log = PublicationLog::new(layout.deltas.clone());
        let (task, volume) =
            VolumeTask::open(zfs.clone(), layout.clone(), log.clone(), nodes, config.window).await.unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(task.run(stop.clone()));
        let capturer = Arc::new(FakeCapturer::default());
        let dyn_capturer: Arc<dyn Capturer> = capturer.clone();
        let runner = Runner::new(
            Arc::clone(&jobs),
            dyn_capturer,
            (volume.clone(), VolumeReader::new(&layout.mountpoint)),
            layout.clone(),
            Metrics::new(
                &crate::download_limits::DownloadLimits::new(&Default::default()).downloads,
                &Default::default(),
            ),
            2,
            stop.clone(),
        );
        Self { zfs, layout, jobs, volume, log, capturer, stop, runner, logs }
    }

    pub(super) async fn submit(&self, name: &str) -> JobId {
        self.submit_as(&request(name)).await
    }

    async fn submit_as(&self, request: &RegisterRequest) -> JobId {
        match self.jobs.submit(request.name.parse().unwrap(), request).await.unwrap() {
            Submitted::New(job) => job,
            Submitted::UnderWay(job) => panic!("job {job} is under way"),
        }
    }

    pub(super) async fn outcome_of(&self, job: JobId) -> JobOutcome {
        let mut view = self.jobs.watch(job).unwrap();
        let ended = tokio::time::timeout(DEADLINE, view.wait_for(|view| view.outcome.is_some())).await;
        ended.unwrap().unwrap().outcome.clone().unwrap()
    }

    pub(super) async fn outcome(&self, job: JobId) -> JobOutcome {
        let outcome = self.outcome_of(job).await;
        // Scratch goes after the end is told.
        tokio::time::timeout(DEADLINE, self.runner.idle()).await.unwrap();
        outcome
    }

    pub(super) async fn register(&self, name: &str) -> JobOutcome {
        let job = self.submit(name).await;
        self.runner.start(job);
        self.outcome(job).await
    }

    pub(super) fn images(&self) -> Vec<String> {
        let manifests = catalog::read_all(&self.layout.mountpoint).unwrap();
        manifests.into_iter().map(|manifest| manifest.name.to_string()).collect()
    }

    pub(super) async fn close(self) {
        self.stop.cancel();
        self.runner.finish().await;
    }
}

fn config(state_dir: &Path) -> RegistrarConfig {
    let text = format!("dataset = \"tank/bootstash\"\nstate_dir = {state_dir:?}");
    toml::from_str(&text).unwrap()
}

fn request(name: &str) -> RegisterRequest {
    let source = format!("/srv/images/{name}.raw");
    RegisterRequest::new(name, source)
}

/// The same with a cache to adopt.
fn request_with(name: &str, cache: &str) -> RegisterRequest {
    RegisterRequest { cache: Some(cache.into()), ..request(name) }
}

fn numbers(log: &PublicationLog) -> Vec<(Option<u64>, u64)> {
    let log = log.now();
    let number = |guid| {
        let found = log.snapshots.iter().find(|snapshot| snapshot.guid == guid);
        found.map(|snapshot| snapshot.name.number()).unwrap()
    };
    log.deltas.iter().map(|delta| (delta.from.map(number), number(delta.to))).collect()
}

#[tokio::test]
async fn registers_publishes_and_leaves_no_scratch() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path(), Arc::new(FakeZfs::new())).await;
    for (name, number) in [("debian", 1), ("alpine", 2)] {
        match bench.register(name).await {
            JobOutcome::Registered { snapshot, delta_bytes, .. } => {
                assert_eq!(snapshot.number(), number);
                assert!(delta_bytes > 4096);
            }
            failed => panic!("{failed:?}"),
        }
    }
    assert_eq!(bench.images(), ["alpine", "debian"]);
    assert_eq!(numbers(&bench.log), [(None, 1), (Some(1), 2)]);
    assert_eq!(std::fs::read_dir(bench.layout.work()).unwrap().count(), 0);
    bench.close().await;
}

#[tokio::test]
async fn a_failed_step_is_named_and_leaves_nothing() {
    for step in [Step::Inspect, Step::Capture, Step::Verify, Step::Import, Step::Snapshot, Step::Publish] {
        let dir = tempfile::tempdir().unwrap();
        let bench = Bench::open(dir.path(), Arc::new(FakeZfs::new())).await;
        match step {
            Step::Import => bench.capturer.lose_cache(),
            Step::Snapshot => bench.zfs.fail_next(Verb::Snapshot, "no"),
            Step::Publish => bench.zfs.fail_next(Verb::Send, "no"),
            other => bench.capturer.fail_at(other),
        }
        match bench.register("debian").await {
            JobOutcome::Failed { step: failed, error, .. } => assert_eq!(failed, step, "{error}"),
            other => panic!("{step}: {other:?}"),
        }
        assert!(bench.images().is_empty(), "{step}");
        assert_eq!(std::fs::read_dir(bench.layout.work()).unwrap().count(), 0, "{step}");
        assert!(matches!(bench.register("debian").await, JobOutcome::Registered { .. }), "{step}, again");
        bench.close().await;
    }
}

/// A manifest in the volume that hangs whoever reads it: tells when somebody does, and lets go when asked.
/// One thread runs the test, so that a read on it would be let go by the time limit alone.
fn hanging_manifest(
    bench: &Bench,
    name: &str,
) -> (tokio::sync::oneshot::Receiver<()>, JoinHandle<bool>, Sender<()>) {
    let path = catalog::images_dir(&bench.layout.mountpoint).join(name).join(catalog::MANIFEST_FILE);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let ((reads, read), (let_go, asked)) = (tokio::sync::oneshot::channel(), std::sync::mpsc::channel());
    let writer = std::thread::spawn(move || {
        let _writer = std::fs::File::options().write(true).open(path).unwrap();
        reads.send(()).unwrap();
        asked.recv_timeout(DEADLINE).is_ok()
    });
    (read, writer, let_go)
}

#[tokio::test]
async fn a_volume_that_hangs_holds_up_its_job_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path(), Arc::new(FakeZfs::new())).await;
    let (read, writer, let_go) = hanging_manifest(&bench, "debian");
    let job = bench.submit("debian").await;
    bench.runner.start(job);
    read.await.unwrap();
    let at = bench.jobs.views().pop().unwrap();
    assert_eq!((at.id, at.step, at.outcome), (job, Step::Import, None));
    let other = bench.submit("alpine").await;
    let_go.send(()).unwrap();
    assert!(writer.join().unwrap(), "the test's own thread hung");
    assert!(matches!(bench.outcome(job).await, JobOutcome::Failed { step: Step::Import, .. }));
    std::fs::remove_dir_all(catalog::images_dir(&bench.layout.mountpoint).join("debian")).unwrap();
    bench.runner.start(other);
    assert!(matches!(bench.outcome(other).await, JobOutcome::Registered { .. }));
    bench.close().await;
}

#[tokio::test]
async fn goes_on_after_a_restart_from_every_state() {
    let whole = [
        StepOutput::Inspected(manifest("debian").source),
        StepOutput::Captured(Box::new(manifest("debian"))),
        StepOutput::Verified,
    ];
    for reached in 0..=whole.len() {
        let dir = tempfile::tempdir().unwrap();
        let zfs = Arc::new(FakeZfs::new());
        let bench = Bench::open(dir.path(), zfs.clone()).await;
        let job = bench.submit("debian").await;
        for done in whole.iter().take(reached).cloned() {
            bench.jobs.advance(job, done, Duration::ZERO).await.unwrap();
        }
        FakeCapturer::write_cache(&bench.layout.job_dir(job));
        bench.close().await;

        let bench = Bench::open(dir.path(), zfs).await;
        assert_eq!(bench.jobs.unfinished(), [job]);
        bench.runner.start(job);
        assert!(matches!(bench.outcome(job).await, JobOutcome::Registered { .. }), "after {reached} steps");
        assert_eq!(bench.images(), ["debian"]);
        bench.close().await;
    }
}

#[tokio::test]
async fn a_snapshot_without_its_delta_gets_one_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let zfs = Arc::new(FakeZfs::new());
    let bench = Bench::open(dir.path(), zfs.clone()).await;
    bench.register("debian").await;
    bench.register("alpine").await;
    let deltas = bench.log.now().deltas;
    let last = deltas.last().unwrap();
    std::fs::remove_file(bench.layout.deltas.join(&last.file)).unwrap();
    bench.close().await;

    let bench = Bench::open(dir.path(), zfs).await;
    assert_eq!(bench.log.now().deltas.last().unwrap().to, last.to);
    assert_eq!(numbers(&bench.log), [(None, 1), (Some(1), 2)]);
    bench.close().await;
}

#[tokio::test]
async fn a_delta_whose_file_is_gone_or_damaged_is_made_anew_while_the_registrar_runs() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), Arc::new(FakeZfs::new())).await;
    bench.logs.allow("is made again");
    bench.register("debian").await;
    bench.register("alpine").await;
    let record = bench.log.now().deltas.last().unwrap().clone();
    let path = bench.layout.deltas.join(&record.file);
    let whole = std::fs::read(&path).unwrap();
    let spoil = |at: usize| {
        let mut spoiled = whole.clone();
        spoiled[at] ^= 1;
        std::fs::write(&path, spoiled).unwrap();
    };
    for damage in 0..4 {
        match damage {
            0 => std::fs::remove_file(&path).unwrap(),
            1 => std::fs::write(&path, &whole[..whole.len() - 1]).unwrap(),
            2 => spoil(100),
            _ => spoil(whole.len() - 1),
        }
        // The last of them is seen only where all of it is read.
        assert_eq!(bench.log.problem_of(&record).await.is_some(), damage < 3, "{damage}");
        assert!(bench.log.problem_within(&record).await.is_some(), "{damage}");
        bench.volume.remake(record.file.clone()).await.unwrap();
        let now = bench.log.now().deltas.last().unwrap().clone();
        assert_eq!((&now.file, now.from, now.to), (&record.file, record.from, record.to));
        assert!(bench.log.problem_within(&now).await.is_none(), "{damage}");
    }
    bench.close().await;
}

#[tokio::test]
async fn deregistering_twice_says_so_and_publishing_reaches_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path(), Arc::new(FakeZfs::new())).await;
    bench.register("debian").await;
    let name: bootstash_base::names::ImageName = "debian".parse().unwrap();
    let reply = bench.volume.deregister(name.clone(), true).await.unwrap();
    assert_eq!(reply.outcome, bootstash_zfs::Removed::Removed);
    assert_eq!(reply.published.unwrap().number(), 2);
    let reply = bench.volume.deregister(name, true).await.unwrap();
    assert_eq!(reply.outcome, bootstash_zfs::Removed::Unchanged);
    assert_eq!(reply.published, None);
    assert_eq!(bench.log.now().snapshots.len(), 2);
    bench.close().await;
}

#[tokio::test]
async fn deregistering_whose_publishing_fails_says_which_half_is_done_and_the_rest_can_be_repeated() {
    for (verb, stderr) in [
        (Verb::Snapshot, "cannot create snapshot 'tank/x@y': out of space"),
        (Verb::Send, "cannot send: I/O error"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut bench = Bench::open(dir.path(), Arc::new(FakeZfs::new())).await;
        bench.register("debian").await;
        bench.logs.allow("cannot make a delta");
        let name: bootstash_base::names::ImageName = "debian".parse().unwrap();
        bench.zfs.fail_next(verb, stderr);
        let error = bench.volume.deregister(name.clone(), true).await.unwrap_err();
        let text = bootstash_base::error::Chain(&error).to_string();
        assert!(text.starts_with("debian was removed from the registrar's volume, but publishing"), "{text}");
        assert!(text.contains("`bootstash deregister debian --publish`"), "{text}");
        assert_eq!(bench.log.now().snapshots.len(), 1);
        let reply = bench.volume.deregister(name, true).await.unwrap();
        assert_eq!(reply.outcome, bootstash_zfs::Removed::Unchanged);
        assert_eq!(reply.published.unwrap().number(), 2);
        assert_eq!(numbers(&bench.log).len(), 2, "{verb:?}");
        bench.close().await;
    }
}

#[tokio::test]
async fn collecting_keeps_the_newest_and_drops_deltas_with_their_snapshots() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path(), Arc::new(FakeZfs::new())).await;
    for name in ["a", "b", "c"] {
        bench.register(name).await;
    }
    let dry = bench.volume.collect(Duration::ZERO, true).await.unwrap();
    assert_eq!(bench.log.now().snapshots.len(), 3);
    let report = bench.volume.collect(Duration::ZERO, false).await.unwrap();
    assert_eq!(dry.snapshots.iter().filter(|fate| !fate.keep).count(), 2);
    assert_eq!(report.deltas_removed.len(), 3);
    assert_eq!(bench.log.now().snapshots.len(), 1);
    assert_eq!(std::fs::read_dir(&bench.layout.deltas).unwrap().count(), 0);
    // A node that comes now gets a full stream.
    let full = bench.volume.full().await.unwrap();
    assert_eq!(full.from, None);
    assert!(bench.layout.deltas.join(&full.file).exists());
    bench.close().await;
}

#[tokio::test]
async fn deltas_are_combined_once_for_all_and_go_when_no_node_needs_them() {
    let dir = tempfile::tempdir().unwrap();
    let zfs = Arc::new(FakeZfs::new());
    let bench = Bench::open(dir.path(), zfs.clone()).await;
    for name in ["a", "b", "c", "d", "e", "f"] {
        bench.register(name).await;
    }
    let row = numbers(&bench.log);
    let first = bench.log.now().snapshots[0].guid;
    for _ in 0..2 {
        bench.volume.combine(first).await.unwrap();
        let deltas = numbers(&bench.log);
        assert_eq!(deltas.len(), row.len() + 1, "{deltas:?}");
        assert!(row.iter().chain(&[(Some(1), 6)]).all(|delta| deltas.contains(delta)), "{deltas:?}");
    }
    // What a registration costs is said by the delta from the snapshot before.
    let newest = bench.log.now().snapshots[5].clone();
    assert_eq!(
        bench.volume.publish(newest.name, &Default::default()).await.unwrap().from,
        Some(bench.log.now().snapshots[4].guid)
    );
    // Few deltas lead on from there.
    bench.volume.combine(bench.log.now().snapshots[2].guid).await.unwrap();
    assert_eq!(bench.log.now().deltas.len(), row.len() + 1);
    bench.close().await;

    let bench = Bench::open(dir.path(), zfs).await;
    assert_eq!(bench.log.now().deltas.len(), row.len() + 1, "it is found again after a start");
    let dry = bench.volume.collect(DEADLINE, true).await.unwrap();
    let report = bench.volume.collect(DEADLINE, false).await.unwrap();
    assert_eq!((report.deltas_removed.len(), &dry.deltas_removed), (1, &report.deltas_removed));
    assert_eq!(numbers(&bench.log), row);
    bench.close().await;
}

#[tokio::test]
async fn what_is_known_is_not_asked_again_and_what_somebody_removed_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let zfs = Arc::new(FakeZfs::new());
    let bench = Bench::open(dir.path(), zfs.clone()).await;
    bench.register("a").await;
    // Would any of these ask for all snapshots, it would fail.
    zfs.fail_next(Verb::Snapshots, "I/O error");
    for name in ["b", "c", "d"] {
        assert!(matches!(bench.register(name).await, JobOutcome::Registered { .. }), "{name}");
    }
    let gone = bench.log.now().deltas[1].file.clone();
    // By then the clock of the file system has gone on.
    tokio::time::sleep(Duration::from_millis(50)).await;
    std::fs::remove_file(bench.layout.deltas.join(&gone)).unwrap();
    bench.register("e").await;
    assert!(bench.layout.deltas.join(&gone).exists());
    // After a failure all is asked for again.
    zfs.fail_next(Verb::Snapshot, "I/O error");
    assert!(matches!(bench.register("f").await, JobOutcome::Failed { .. }));
    assert!(matches!(bench.register("f").await, JobOutcome::Failed { .. }), "the failure that was left");
    assert!(matches!(bench.register("f").await, JobOutcome::Registered { .. }));
    bench.close().await;
}

#[tokio::test]
async fn one_name_is_registered_once_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path(), Arc::new(FakeZfs::new())).await;
    let job = bench.submit("debian").await;
    let again = bench.jobs.submit("debian".parse().unwrap(), &request("debian")).await.unwrap();
    assert_eq!(again, Submitted::UnderWay(job));
    let other = bench.jobs.submit("debian".parse().unwrap(), &request("other")).await.unwrap_err();
    assert_eq!(bootstash_base::error::Classified::kind(&other), ErrorClass::Busy);
    assert!(other.to_string().contains("/srv/images/debian.raw"), "{other}");
    assert!(matches!(bench.jobs.record(job).unwrap().state, JobState::Submitted));
    bench.close().await;
}

#[tokio::test]
async fn an_image_of_low_trust_is_refused_before_its_import_where_high_is_required() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path(), Arc::new(FakeZfs::new())).await;
    let require = Some(catalog::Confidence::High);
    let demanding = RegisterRequest { require, ..request_with("debian", "/mnt/cache.qcow2") };
    let job = bench.submit_as(&demanding).await;
    let later =
        bench.jobs.submit("debian".parse().unwrap(), &request_with("debian", "/mnt/cache.qcow2")).await;
    assert_eq!(later.unwrap(), Submitted::UnderWay(job), "what promises more");
    bench.runner.start(job);
    let JobOutcome::Failed { step, error, .. } = bench.outcome(job).await else { panic!("registered") };
    assert_eq!(step, Step::Capture);
    assert!(error.contains("high confidence was required: no boot is on record for it"), "{error}");
    assert!(bench.images().is_empty());
    assert_eq!(std::fs::read_dir(bench.layout.work()).unwrap().count(), 0);
    assert_eq!(bench.log.now().snapshots.len(), 0);

    let job = bench.submit_as(&RegisterRequest { require, ..request("alpine") }).await;
    bench.runner.start(job);
    assert!(matches!(bench.outcome(job).await, JobOutcome::Registered { .. }));
    bench.close().await;
}

#[tokio::test]
async fn a_doubt_is_told_with_the_end_of_the_job_and_a_promise_not_given_is_no_promise() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path(), Arc::new(FakeZfs::new())).await;
    let job = bench.submit_as(&request_with("debian", "/mnt/cache.qcow2")).await;
    let demanding = RegisterRequest {
        require: Some(catalog::Confidence::High),
        ..request_with("debian", "/mnt/cache.qcow2")
    };
    let error = bench.jobs.submit("debian".parse().unwrap(), &demanding).await.unwrap_err();
    assert_eq!(bootstash_base::error::Classified::kind(&error), ErrorClass::Busy);
    bench.runner.start(job);
    match bench.outcome(job).await {
        JobOutcome::Registered { doubt: Some(doubt), .. } => assert_eq!(doubt, "no boot is on record for it"),
        other => panic!("{other:?}"),
    }
    bench.close().await;
}
