//! The libvirt hook with an agent that answers as the real one does, and the real `qemu-img`.

use crate::guest::tool;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use bootstash_base::error::ErrorClass;
use bootstash_base::names::SnapshotName;
use bootstash_disk::ImageFormat;
use bootstash_disk::qcow2::{self, ClusterRuns, Layout, read_backing};
use bootstash_net::api::{
    ErrorBody, OverlayOutcome, OverlayState, OverlayStatus, OverlayView, PinReply, routes,
};
use bootstash_qemu::{Backing, InUse, Qemu, RebaseError};
use bootstash_tests::lab::programs;
use bootstash_zfs::Removed;
use parking_lot::Mutex;
use std::fs::{File, FileTimes, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

const SIZE: u64 = 4 << 20;
const SNAPSHOT: &str = "bs-000042-20261121T101530Z";
/// Of libvirt's QEMU in Debian.
const OWNER: u32 = 64055;

/// A base, its boot cache in a view, and a disk of it that somebody made with `qemu-img create`, with a snapshot above.
struct Host {
    dir: tempfile::TempDir,
    agent: Agent,
    server: JoinHandle<()>,
}

/// What the agent knows.
#[derive(Clone, Debug)]
struct Agent {
    overlay: OverlayView,
    pinned: Arc<Mutex<bool>>,
}

impl Agent {
    fn is_chained(&self) -> bool {
        read_backing(&self.overlay.path).unwrap().unwrap().backing == self.overlay.cache
    }
}

async fn pin(State(agent): State<Agent>) -> Json<PinReply> {
    *agent.pinned.lock() = true;
    let (outcome, chained) = (OverlayOutcome::Created, agent.is_chained());
    Json(PinReply { overlay: agent.overlay, outcome, chained })
}

async fn unpin(State(agent): State<Agent>) -> Result<Json<Removed>, (StatusCode, Json<ErrorBody>)> {
    if agent.is_chained() {
        let error = "it is still chained onto its boot cache".to_owned();
        return Err((
            StatusCode::CONFLICT,
            Json(ErrorBody { error, kind: ErrorClass::Busy, expelled: None }),
        ));
    }
    *agent.pinned.lock() = false;
    Ok(Json(Removed::Removed))
}

async fn list(State(agent): State<Agent>) -> Json<Vec<OverlayStatus>> {
    let pinned = *agent.pinned.lock();
    let (overlay, state) = (agent.overlay, OverlayState::Stopped);
    Json(vec![OverlayStatus { overlay, state, missing_since: None, pinned, base: None }])
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let cache = root.join(format!("views/{SNAPSHOT}/images/alpine/cache.qcow2"));
        make_files(&root, &cache);
        let snapshot: SnapshotName = SNAPSHOT.parse().unwrap();
        let overlay = OverlayView {
            path: root.join("vm.qcow2"),
            image: "alpine".parse().unwrap(),
            snapshot,
            cache,
            virtual_size_bytes: SIZE,
            created: chrono::Utc::now(),
            firmware: None,
        };
        let agent = Agent { overlay, pinned: Arc::default() };
        let pins = axum::routing::post(pin).delete(unpin);
        let app = Router::new().route(routes::PINS, pins).route(routes::OVERLAYS, get(list));
        let app = app.with_state(agent.clone());
        let listener = UnixListener::bind(root.join("agent.sock")).unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { dir, agent, server }
    }

    fn path(&self) -> &Path {
        &self.agent.overlay.path
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path().with_file_name(name)
    }

    fn backing(&self) -> PathBuf {
        read_backing(self.path()).unwrap().unwrap().backing
    }

    /// Calls the hook as libvirt does; returns what it said.
    async fn hook(&self, operation: &str, sub_operation: &str) -> String {
        let mut command = Command::new(programs::path("bootstash"));
        command.args(["hook", "libvirt", "vm", operation, sub_operation, "-"]);
        command.env("BOOTSTASH_AGENT_SOCKET", self.at("agent.sock"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let xml = format!(
            "<domain><name>vm</name><devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/>\
             <source file='{}'/><target dev='vda'/></disk></devices></domain>",
            self.at("snapshot.qcow2").display()
        );
        let output = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().unwrap();
            // It need not read it.
            child.stdin.take().unwrap().write_all(xml.as_bytes()).ok();
            child.wait_with_output().unwrap()
        });
        let output = output.await.unwrap();
        assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn make_files(root: &Path, cache: &Path) {
    let base = root.join("base.raw");
    std::fs::write(&base, vec![7; usize::try_from(SIZE).unwrap()]).unwrap();
    std::fs::create_dir_all(cache.parent().unwrap()).unwrap();
    let layout = Layout::new(SIZE, vec![0, 3], ClusterRuns::default(), &base, ImageFormat::Raw).unwrap();
    let read = |buffer: &mut [u8], _| {
        buffer.fill(7);
        Ok(())
    };
    qcow2::write(&layout, read, &mut File::create_new(cache).unwrap()).unwrap();
    let base = base.display().to_string();
    tool("qemu-img", &["create", "-q", "-f", "qcow2", "-b", &base, "-F", "raw", "vm.qcow2"], root);
    tool("qemu-io", &["-f", "qcow2", "-c", "write -P 1 1M 64k", "vm.qcow2"], root);
    tool(
        "qemu-img",
        &["create", "-q", "-f", "qcow2", "-b", "vm.qcow2", "-F", "qcow2", "snapshot.qcow2"],
        root,
    );
    age(&root.join("vm.qcow2"));
}

/// Gives it an owner, a mode and times that no new file has.
fn age(path: &Path) {
    if nix::unistd::geteuid().is_root() {
        chown(path, Some(OWNER), Some(OWNER)).unwrap();
    }
    let ago = |seconds| SystemTime::now() - Duration::from_secs(seconds);
    let times = FileTimes::new().set_accessed(ago(5000)).set_modified(ago(9000));
    File::options().write(true).open(path).unwrap().set_times(times).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o640)).unwrap();
}

/// All but its atime, which whoever looks at it changes.
fn attributes(path: &Path) -> [i64; 5] {
    let file = path.metadata().unwrap();
    let [uid, gid, mode] = [file.uid(), file.gid(), file.mode()].map(i64::from);
    [uid, gid, mode, file.mtime(), file.mtime_nsec()]
}

fn digest(path: &Path) -> blake3::Hash {
    blake3::hash(&std::fs::read(path).unwrap())
}

#[tokio::test]
async fn a_disk_has_its_cache_while_its_vm_runs_and_is_what_it_was_before_and_after() {
    let host = Host::new();
    let before = (attributes(host.path()), digest(host.path()));
    let said = host.hook("prepare", "begin").await;
    assert!(said.contains("starts from the boot cache of alpine"), "{said}");
    assert_eq!((host.backing(), attributes(host.path())), (host.agent.overlay.cache.clone(), before.0));
    tool(
        "qemu-io",
        &["-r", "-f", "qcow2", "-c", "read -P 7 0 1M", "-c", "read -P 1 1M 64k", "snapshot.qcow2"],
        host.dir.path(),
    );
    // As if the one before had been killed.
    assert!(host.hook("prepare", "begin").await.contains("starts from the boot cache"));
    for ignored in ["start", "started", "stopped", "reconnect"] {
        assert_eq!(host.hook(ignored, "begin").await, "");
    }
    let said = host.hook("release", "end").await;
    assert!(said.contains("base.raw again"), "{said}");
    assert_eq!(attributes(host.path()), before.0);
    assert_eq!(digest(host.path()), before.1);
    assert!(!*host.agent.pinned.lock());
    assert_eq!(host.hook("release", "end").await, "");
}

#[tokio::test]
async fn what_is_not_pinned_keeps_its_cache() {
    let host = Host::new();
    host.hook("prepare", "begin").await;
    *host.agent.pinned.lock() = false;
    assert_eq!(host.hook("release", "end").await, "");
    assert_eq!(host.backing(), host.agent.overlay.cache);
}

#[tokio::test]
async fn killed_between_two_steps_it_goes_on_with_the_next() {
    let host = Host::new();
    let before = digest(host.path());
    // Pinned, and not chained: the VM ran from its image.
    *host.agent.pinned.lock() = true;
    assert_eq!(host.hook("release", "end").await, "");
    assert!(!*host.agent.pinned.lock() && digest(host.path()) == before);
    // Put back, and not unpinned.
    host.hook("prepare", "begin").await;
    let base = Backing { path: host.at("base.raw"), format: ImageFormat::Raw };
    Qemu::find().unwrap().rebase(host.path(), &base).await.unwrap();
    assert_eq!(host.hook("release", "end").await, "");
    assert!(!*host.agent.pinned.lock() && digest(host.path()) == before);
}

/// A QEMU that has the disk open until it is dropped.
struct Running(Child);

impl Running {
    fn of(disk: &Path, lowest: &Path) -> Self {
        let mut qemu = Command::new("qemu-io");
        let qemu = qemu.args(["-f", "qcow2"]).arg(disk).stdin(Stdio::piped()).stdout(Stdio::null());
        let running = Self(qemu.spawn().unwrap());
        while InUse::of(&File::open(lowest).unwrap()).unwrap() != InUse::Yes {
            std::thread::sleep(Duration::from_millis(10));
        }
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test]
async fn a_disk_that_a_vm_has_open_is_left_alone() {
    let host = Host::new();
    let running = Running::of(&host.at("snapshot.qcow2"), host.path());
    let said = host.hook("prepare", "begin").await;
    assert!(said.contains("left as it was: a QEMU has") && said.lines().count() == 1, "{said}");
    assert_eq!(host.backing(), host.at("base.raw"));
    drop(running);
    host.hook("prepare", "begin").await;
    let running = Running::of(&host.at("snapshot.qcow2"), host.path());
    let said = host.hook("release", "end").await;
    assert!(said.contains("left as it was: a QEMU has"), "{said}");
    assert_eq!(host.backing(), host.agent.overlay.cache);
    let base = Backing { path: host.at("base.raw"), format: ImageFormat::Raw };
    let error = Qemu::find().unwrap().rebase(host.path(), &base).await.unwrap_err();
    assert!(matches!(error, RebaseError::InUse { .. }), "{error}");
    drop(running);
    assert!(host.hook("release", "end").await.contains("base.raw again"));
}

#[tokio::test]
async fn a_rebase_that_is_killed_at_any_moment_leaves_one_of_the_two_headers() {
    let host = Host::new();
    let qemu = Qemu::find().unwrap();
    let base = Backing { path: host.at("base.raw"), format: ImageFormat::Raw };
    let cache = Backing { path: host.agent.overlay.cache.clone(), format: ImageFormat::Qcow2 };
    qemu.rebase(host.path(), &base).await.unwrap();
    let on_base = digest(host.path());
    qemu.rebase(host.path(), &cache).await.unwrap();
    let on_cache = digest(host.path());
    for step in 0..60 {
        let to = if step % 2 == 0 { &base } else { &cache };
        let killed = tokio::time::timeout(Duration::from_micros(step * 700), qemu.rebase(host.path(), to));
        drop(killed.await);
        while InUse::of(&File::open(host.path()).unwrap()).unwrap() == InUse::Yes {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let now = digest(host.path());
        assert!(now == on_base || now == on_cache, "step {step}");
    }
}

#[tokio::test]
async fn a_rebase_keeps_all_times() {
    let host = Host::new();
    let times = |file: std::fs::Metadata| (file.accessed().unwrap(), file.modified().unwrap());
    let before = times(host.path().metadata().unwrap());
    let cache = Backing { path: host.agent.overlay.cache.clone(), format: ImageFormat::Qcow2 };
    Qemu::find().unwrap().rebase(host.path(), &cache).await.unwrap();
    assert_eq!(times(host.path().metadata().unwrap()), before);
    assert_eq!(host.backing(), cache.path);
}

#[tokio::test]
async fn a_header_says_what_lies_below() {
    let host = Host::new();
    let qemu = Qemu::find().unwrap();
    let base = Backing { path: host.at("base.raw"), format: ImageFormat::Raw };
    assert_eq!(qemu.backing_of(&host.agent.overlay.cache).await.unwrap(), base);
    tool("qemu-img", &["create", "-q", "-f", "qcow2", "alone.qcow2", "1M"], host.dir.path());
    let error = qemu.backing_of(&host.at("alone.qcow2")).await.unwrap_err();
    assert!(matches!(error, RebaseError::Unnamed { .. }), "{error}");
    let error = qemu.backing_of(&host.at("base.raw")).await.unwrap_err();
    assert!(matches!(error, RebaseError::Other { .. }), "{error}");
}

/// With the agent's answers as above: what `doctor` reads besides is in the unit tests.
#[tokio::test]
async fn an_agent_that_is_away_leaves_all_as_it_is() {
    let host = Host::new();
    let before = (attributes(host.path()), digest(host.path()));
    std::fs::remove_file(host.at("agent.sock")).unwrap();
    for (operation, sub_operation) in [("prepare", "begin"), ("release", "end")] {
        let said = host.hook(operation, sub_operation).await;
        assert!(said.contains("left as it was: there is no agent on this host"), "{said}");
    }
    assert_eq!((attributes(host.path()), digest(host.path())), before);
}
