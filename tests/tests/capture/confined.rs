//! A guest that does what it can: its QEMU can do nothing but run it, and it costs only itself.

use crate::guest::{DISK_BYTES, names};
use bootstash_daemon::config::CaptureConfig;
use bootstash_disk::Source;
use bootstash_disk::firmware::Firmware;
use bootstash_disk::nbd::{DiskImage, Export};
use bootstash_net::api::{CaptureChoices, Progress};
use bootstash_qemu::{
    Accelerator, AcceleratorChoice, DiskChain, HardwareProfile, Machine, MachineSpec, Place, Qemu,
};
use bootstash_registrar::capture::{Boots, CaptureError, CaptureRequest, Captured, GuestSlots, capture};
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Prints without end.
#[rustfmt::skip]
const FLOODS_ITS_CONSOLE: &[u8] = &[
    0xba, 0xf8, 0x03, // mov dx, 0x3f8
    0xb0, b'x', 0xee, // more: mov al, 'x'; out dx, al
    0xeb, 0xfb,       // jmp more
];
/// Runs without end, and says nothing.
const LOOPS: &[u8] = &[0xeb, 0xfe];
/// Writes 64 KiB after 64 KiB from its second sector on. Prints `!` and stops when a write fails.
#[rustfmt::skip]
const FILLS_ITS_DISK: &[u8] = &[
    0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0,       // xor ax, ax; mov ds, ax; mov ss, ax
    0xbc, 0x00, 0x7c,                         // mov sp, 0x7c00
    0xbe, 0x30, 0x7c,                         // next: mov si, packet
    0xb8, 0x00, 0x43, 0xb2, 0x80, 0xcd, 0x13, // extended write to the first disk
    0x72, 0x08,                               // jc failed
    0x66, 0x83, 0x06, 0x38, 0x7c, 0x7f,       // add dword [first sector], 127
    0xeb, 0xec,                               // jmp next
    0xba, 0xf8, 0x03, 0xb0, b'!', 0xee,       // failed: mov dx, 0x3f8; mov al, '!'; out dx, al
    0xf4, 0xeb, 0xfd,                         // hlt; jmp to hlt
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    16, 0, 127, 0, 0, 0, 0, 0x10, 1, 0, 0, 0, 0, 0, 0, 0, // packet: 127 sectors from 0x10000
];

fn disk(path: &Path, code: &[u8], size_bytes: u64) {
    let disk = std::fs::File::create_new(path).unwrap();
    disk.set_len(size_bytes).unwrap();
    disk.write_all_at(code, 0).unwrap();
    disk.write_all_at(&[0x55, 0xaa], 510).unwrap();
}

fn config() -> CaptureConfig {
    CaptureConfig {
        accelerator: AcceleratorChoice::Tcg,
        profiles: HardwareProfile::Libvirt.into(),
        quiet: Duration::from_secs(1),
        boot_timeout: Duration::from_secs(12),
        memory_mib: 64,
        overlay_mib: 64,
        ..CaptureConfig::default()
    }
}

async fn inspected(image: &Path) -> Source {
    Qemu::find().unwrap().inspect(image, None).await.unwrap()
}

async fn captured(image: &Path, config: CaptureConfig) -> Result<Captured, CaptureError> {
    let work_dir = image.parent().unwrap().join("work");
    let request = CaptureRequest {
        image: inspected(image).await,
        work_dir,
        config,
        choices: CaptureChoices::default(),
        boots: Boots::All,
        slots: GuestSlots::of_this_host(),
    };
    let (progress, _) = watch::channel(Progress::default());
    capture(&Qemu::find().unwrap(), &request, &progress, &CancellationToken::new()).await
}

/// Whether a process works below this directory.
fn runs_in(dir: &Path) -> bool {
    std::fs::read_dir("/proc").unwrap().any(|process| {
        std::fs::read_link(process.unwrap().path().join("cwd"))
            .is_ok_and(|works_in| works_in.starts_with(dir))
    })
}

/// Waits for a killed process to be gone.
async fn nothing_runs_in(dir: &Path) {
    let gone = async {
        while runs_in(dir) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("a guest still runs");
}

/// Captures an image with this boot sector, which fails, and leaves nothing, however it fails.
async fn fails(code: &[u8]) -> CaptureError {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    disk(&image, code, DISK_BYTES);
    let error = captured(&image, config()).await.unwrap_err();
    nothing_runs_in(dir.path()).await;
    assert_eq!(names(&dir.path().join("work")), Vec::<PathBuf>::new(), "scratch was left");
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_floods_its_console_is_given_up() {
    let error = fails(FLOODS_ITS_CONSOLE).await.to_string();
    assert!(error.contains("within 12 s") && error.len() < 4096, "{} bytes: {error}", error.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_never_ends_is_given_up() {
    let error = fails(LOOPS).await.to_string();
    assert!(error.contains("within 12 s"), "{error}");
}

/// A guest that runs, and what it needs to.
struct Running {
    machine: Machine,
    place: PathBuf,
    _export: Export,
    dir: tempfile::TempDir,
}

impl Running {
    async fn start(code: &[u8], disk_bytes: u64, overlay_max_bytes: u64) -> Self {
        let (dir, qemu) = (tempfile::tempdir().unwrap(), Qemu::find().unwrap());
        // As the registrar's state directory.
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
        let image = dir.path().join("image");
        disk(&image, code, disk_bytes);
        let image = inspected(&image).await;
        let base = DiskImage::open(&image.path, image.format, image.virtual_size_bytes).await.unwrap();
        let place = Place::create_in(dir.path()).unwrap();
        qemu.create_overlay(&place.path().join("overlay"), &image.path, disk_bytes).await.unwrap();
        place.hand_over("overlay").unwrap();
        let export = Export::serve(place.listen("base").unwrap(), Arc::new(base));
        let spec = MachineSpec {
            accelerator: Accelerator::Tcg,
            profile: HardwareProfile::Libvirt,
            memory_mib: 64,
            cpus: 1,
            time_limit: Duration::from_secs(300),
            overlay_max_bytes,
            disk: DiskChain { overlay: "overlay", cache: None, base_socket: "base" },
            firmware: Firmware::Bios,
            seed: false,
        };
        let path = place.path().to_owned();
        Self { machine: qemu.start(&spec, place).await.unwrap(), place: path, _export: export, dir }
    }

    /// The process of its QEMU, as /proc shows it.
    fn process(&self) -> PathBuf {
        let works_here =
            |process: &PathBuf| std::fs::read_link(process.join("cwd")).is_ok_and(|dir| dir == self.place);
        names(Path::new("/proc")).into_iter().find(works_here).expect("no process works in the place")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_fills_its_disk_meets_an_error_and_no_more() {
    const OVERLAY_BYTES: u64 = 24 << 20;
    let mut filling = Running::start(FILLS_ITS_DISK, 256 << 20, OVERLAY_BYTES).await;
    let mut looping = Running::start(LOOPS, DISK_BYTES, OVERLAY_BYTES).await;
    let mut console = filling.machine.console();
    let failed = console.wait_for(|text| text.newest_line().is_some_and(|line| line.contains('!')));
    tokio::time::timeout(Duration::from_secs(120), failed).await.expect("its writes never failed").unwrap();
    let overlay = std::fs::metadata(filling.place.join("overlay")).unwrap().len();
    assert!(overlay <= OVERLAY_BYTES && overlay > OVERLAY_BYTES / 2, "{overlay}");
    assert_eq!(filling.machine.status().await.unwrap(), "running");
    assert_eq!(looping.machine.status().await.unwrap(), "running", "the guest beside it was hit");
    for running in [filling, looping] {
        running.machine.quit().await.unwrap();
        assert!(!running.place.exists(), "scratch was left");
    }
}

/// The lines of a file below /proc, by the words they begin with.
fn fields(path: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_qemu_of_a_guest_has_no_rights() {
    let running = Running::start(LOOPS, DISK_BYTES, 64 << 20).await;
    let status = fields(&running.process().join("status"));
    assert_eq!((status["NoNewPrivs"].as_str(), status["Seccomp"].as_str()), ("1", "2"));
    let limits = std::fs::read_to_string(running.process().join("limits")).unwrap();
    for limit in ["Max cpu time", "Max file size", "Max address space", "Max core file size"] {
        let line = limits.lines().find(|line| line.starts_with(limit)).unwrap();
        assert!(!line.contains("unlimited"), "{line}");
    }
    if nix::unistd::geteuid().is_root() {
        has_a_user_of_its_own(&running, &status);
    }
}

fn has_a_user_of_its_own(running: &Running, status: &BTreeMap<String, String>) {
    let ids: Vec<u32> = status["Uid"].split_whitespace().map(|id| id.parse().unwrap()).collect();
    assert!(ids.iter().all(|id| *id == ids[0] && (61184..=65519).contains(id)), "{ids:?}");
    assert_eq!(status["Uid"], status["Gid"]);
    assert_eq!(status["Groups"], "");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status[set], "0000000000000000", "{set}");
    }
    let network = |process: &Path| std::fs::read_link(process.join("ns/net")).unwrap();
    assert_ne!(network(&running.process()), network(Path::new("/proc/self")));
    let niceness = |process: &Path| {
        let stat = std::fs::read_to_string(process.join("stat")).unwrap();
        stat.rsplit(") ").next().unwrap().split(' ').nth(16).unwrap().parse::<i32>().unwrap()
    };
    assert_eq!(niceness(&running.process()), niceness(Path::new("/proc/self")) + 10);
    let user = ids[0].to_string();
    // What is beside its place, and its place but for what was handed to it.
    let secret = running.dir.path().join("secret");
    std::fs::write(&secret, "x").unwrap();
    std::fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    let (image, new) = (running.dir.path().join("image"), running.place.join("new"));
    assert!(!can(&user, &["test", "-r", secret.to_str().unwrap()]));
    assert!(!can(&user, &["test", "-e", image.to_str().unwrap()]), "the directories above are open to it");
    let place = running.place.clone();
    let within = |line: &str| can_within(&user, &place, line);
    assert!(within("test -w overlay"), "this test would not see what it can do");
    assert!(!within("touch new") && !within("rm -f overlay") && !within("ls"));
    assert!(!new.exists());
}

fn can(user: &str, command: &[&str]) -> bool {
    let mut setpriv = as_user(user);
    setpriv.args(command).status().unwrap().success()
}

/// Started where the process was started: it is in its place without having come by its path.
fn can_within(user: &str, place: &Path, line: &str) -> bool {
    as_user(user).args(["sh", "-c", line]).current_dir(place).output().unwrap().status.success()
}

fn as_user(user: &str) -> std::process::Command {
    let mut setpriv = std::process::Command::new("setpriv");
    setpriv.args([
        "--reuid",
        user,
        "--regid",
        user,
        "--clear-groups",
        "--no-new-privs",
        "--bounding-set=-all",
    ]);
    setpriv
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_that_run_at_once_are_different_users() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let (a, b) = (
        Running::start(LOOPS, DISK_BYTES, 64 << 20).await,
        Running::start(LOOPS, DISK_BYTES, 64 << 20).await,
    );
    let user = |running: &Running| fields(&running.process().join("status"))["Uid"].clone();
    assert_ne!(user(&a), user(&b));
}
