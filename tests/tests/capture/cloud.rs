//! An image with cloud-init, the seed that its capture gives it, and that of a user.

use crate::firmware::{captured_with, inspected, scratch};
use crate::guest::tool;
use axum::routing::post;
use axum::{Json, Router};
use bootstash_base::names::SnapshotName;
use bootstash_daemon::config::CaptureConfig;
use bootstash_delta::catalog::BootSignal;
use bootstash_disk::iso9660;
use bootstash_net::api::{CaptureChoices, OverlayRequest, OverlayView, Progress, routes};
use bootstash_qemu::ConsoleText;
use bootstash_tests::lab::plan::images_cache;
use bootstash_tests::lab::programs;
use bootstash_tests::lab::run::{Call, Process};
use bootstash_tests::lab::wait;
use bootstash_zfs::Removed;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

const BOOT_DEADLINE: Duration = Duration::from_secs(400);
const END_DEADLINE: Duration = Duration::from_secs(30);

/// By label and type cloud-init looks for it; what mounts it shows names in small letters.
#[test]
fn blkid_takes_a_volume_of_ours_for_a_cd() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("seed"), iso9660::volume("cidata", &[("user-data", b"x")])).unwrap();
    let found = tool("blkid", &["-p", "-o", "export", "seed"], dir.path());
    assert!(found.contains("LABEL=cidata") && found.contains("TYPE=iso9660"), "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_with_cloud_init_boots_with_the_seed_to_its_prompt() {
    let (dir, image) = (scratch(), inspected("debian12-cloud").await);
    let (progress, seen) = watch::channel(Progress::default());
    let lines = tokio::spawn(console_lines(seen));
    let config = CaptureConfig { max_boots: 1, memory_mib: 1024, ..CaptureConfig::default() };
    let captured = captured_with(image, dir.path(), config, CaptureChoices::default(), &progress).await;
    drop(progress);
    assert!(captured.seed, "the manifest would not say so");
    assert_eq!(captured.boots[0].signal, BootSignal::LoginPrompt);
    // The name is the seed's: cloud-init has found and used it.
    let lines = lines.await.unwrap();
    assert!(lines.iter().any(|line| line.contains("bootstash-capture login:")), "{lines:?}");
}

async fn console_lines(mut seen: watch::Receiver<Progress>) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    while seen.changed().await.is_ok() {
        lines.extend(seen.borrow_and_update().console_line.clone());
    }
    lines
}

/// An agent that makes overlays of the image itself, as if that were its boot cache.
fn agent(socket: &Path) -> AbortOnDropHandle<()> {
    let make = async |Json(request): Json<OverlayRequest>| {
        let image = images_cache().join("debian12-cloud.raw");
        let words = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b"].map(str::to_owned);
        let files = [&image, &request.path].map(|path| path.display().to_string());
        Call::new("qemu-img").args(words.iter().chain(&files)).output().unwrap();
        let snapshot: SnapshotName = "bs-000042-20261121T101530Z".parse().unwrap();
        let (path, cache, created) = (request.path, image, chrono::Utc::now());
        let image = request.image.parse().unwrap();
        let firmware = None;
        Json(OverlayView { path, image, snapshot, cache, virtual_size_bytes: 0, created, firmware })
    };
    let app = Router::new().route(routes::OVERLAYS, post(make).delete(async || Json(Removed::Removed)));
    let listener = UnixListener::bind(socket).unwrap();
    AbortOnDropHandle::new(tokio::spawn(async move { axum::serve(listener, app).await.unwrap() }))
}

/// `bootstash boot` with these user data, and its console in a file.
fn boot(dir: &Path, user_data: &str) -> Process {
    let file = dir.join("user-data");
    std::fs::write(&file, user_data).unwrap();
    let call = Call::new(programs::path("bootstash")).args(["boot", "debian12-cloud", "--user-data"]);
    let call = call.args([file]).env("BOOTSTASH_AGENT_SOCKET", dir.join("agent.sock"));
    call.start(&dir.join("console")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_users_data_reach_cloud_init_in_a_vm_on_the_terminal() {
    let dir = scratch();
    let _agent = agent(&dir.path().join("agent.sock"));
    let mut vm = boot(dir.path(), "#cloud-config\nhostname: from-user-data\n");
    let console = dir.path().join("console");
    let seen = tokio::task::spawn_blocking(move || {
        let prompt = wait::until("the login prompt", BOOT_DEADLINE, || {
            let running = vm.is_running();
            let text = ConsoleText::of(&std::fs::read(&console)?);
            Ok((text.login_prompt() || !running).then(|| text.tail().join("\n")))
        });
        vm.terminate(END_DEADLINE).unwrap();
        prompt.unwrap()
    });
    let seen = seen.await.unwrap();
    assert!(seen.contains("from-user-data login:"), "{seen}");
}
