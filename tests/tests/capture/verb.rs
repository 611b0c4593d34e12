//! The capture verb, from image to verified cache.

use crate::guest::{CLUSTER, DISK_BYTES, Guest, held, names, tool, with_small_gaps};
use bootstash_base::error::{Classified, ErrorClass};
use bootstash_daemon::config::CaptureConfig;
use bootstash_delta::catalog::{BootRecord, BootSignal, Confidence};
use bootstash_disk::firmware::Firmware;
use bootstash_disk::nbd::{Export, FailingSource};
use bootstash_net::api::{CaptureChoices, Progress};
use bootstash_qemu::{
    Accelerator, AcceleratorChoice, DiskChain, HardwareProfile, HardwareProfiles, MachineSpec, Place, Qemu,
};
use bootstash_registrar::capture::{
    Boots, CaptureError, CaptureRequest, Captured, GuestSlots, VerifyError, capture, verify,
};
use std::io::Read;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const READS: [u64; 9] = [60, 7, 3, 44, 45, 20, 12, 300, 301];
// Twice: under load the last of what the BIOS says can come in the middle of the first.
pub(crate) const GUEST: Guest<'static> =
    Guest { reads: &READS, writes: 50, says: "hello\r\nhost login: \r\nhost login: " };

pub(crate) fn config() -> CaptureConfig {
    CaptureConfig {
        accelerator: AcceleratorChoice::Tcg,
        profiles: HardwareProfile::Libvirt.into(),
        quiet: Duration::from_secs(1),
        boot_timeout: Duration::from_secs(90),
        memory_mib: 64,
        ..CaptureConfig::default()
    }
}

pub(crate) async fn request(image: &Path, config: CaptureConfig) -> CaptureRequest {
    let image = Qemu::find().unwrap().inspect(image, None).await.unwrap();
    let work_dir = image.path.parent().unwrap().join("work");
    let (choices, slots) = (CaptureChoices::default(), GuestSlots::new(NonZeroUsize::MIN));
    CaptureRequest { image, work_dir, config, choices, slots, boots: Boots::All }
}

pub(crate) async fn captured(request: &CaptureRequest) -> Result<Captured, CaptureError> {
    let (progress, _) = watch::channel(Progress::default());
    capture(&Qemu::find().unwrap(), request, &progress, &CancellationToken::new()).await
}

pub(crate) fn disk(guest: &Guest<'_>) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("base.raw");
    guest.write(&path);
    (dir, path)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_holds_what_the_guest_read_and_the_small_gaps_between() {
    let (dir, base) = disk(&GUEST);
    let before = std::fs::read(&base).unwrap();
    let config = CaptureConfig { profiles: HardwareProfiles::default(), ..config() };
    let request = request(&base, config).await;
    let captured = captured(&request).await.unwrap();

    let (data, zeros) = held(&captured.cache);
    let read = GUEST.expected().into_iter().filter(|&cluster| cluster < 64).collect();
    assert_eq!(data, with_small_gaps(&read));
    let gaps: Vec<u64> = data.difference(&read).copied().collect();
    assert_eq!(gaps, [1, 2, 4, 5, 6, 8, 9, 10, 11], "between 0, 3, 7 and 12, and not up to 20");
    assert_eq!(zeros, (64..DISK_BYTES / CLUSTER).collect());
    assert_eq!(captured.facts.data_clusters, data.len() as u64);
    assert_eq!(captured.facts.zero_clusters, zeros.len() as u64);
    assert_eq!(captured.facts.bytes, std::fs::metadata(&captured.cache).unwrap().len());

    let new: Vec<u64> = captured.boots.iter().map(|boot| boot.new_clusters).collect();
    assert_eq!(new, [READS.len() as u64 + 1, 0, 0], "a further boot read from the base");
    let profiles: Vec<_> = captured.boots.iter().filter_map(|boot| boot.profile.as_deref()).collect();
    assert_eq!(profiles, ["libvirt", "openstack", "libvirt-scsi"]);
    assert_eq!(captured.boots[1].base_bytes, 0);
    assert_eq!(captured.boots[0].signal, BootSignal::LoginPrompt);
    assert_eq!(captured.confidence, Confidence::High);

    verify(&Qemu::find().unwrap(), &captured.cache, &request.image).await.unwrap();
    assert_eq!(std::fs::read(&base).unwrap(), before, "the guest wrote to its base");
    assert_eq!(names(&dir.path().join("work")), [captured.cache], "scratch was left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warm_guest_boots_from_a_base_that_refuses_every_read() {
    let (dir, base) = disk(&GUEST);
    let cache = captured(&request(&base, config()).await).await.unwrap().cache;
    let qemu = Qemu::find().unwrap();
    let place = Place::create_in(dir.path()).unwrap();
    let export =
        Export::serve(place.listen("base").unwrap(), Arc::new(FailingSource { size_bytes: DISK_BYTES }));
    qemu.create_overlay(&place.path().join("overlay"), &cache, DISK_BYTES).await.unwrap();
    place.hand_over("overlay").unwrap();
    place.lend(&cache, "cache").unwrap();
    let spec = MachineSpec {
        accelerator: Accelerator::Tcg,
        profile: HardwareProfile::Libvirt,
        memory_mib: 64,
        cpus: 1,
        time_limit: Duration::from_secs(90),
        overlay_max_bytes: 1 << 30,
        disk: DiskChain { overlay: "overlay", cache: Some("cache"), base_socket: "base" },
        firmware: Firmware::Bios,
        seed: false,
    };
    let mut machine = qemu.start(&spec, place).await.unwrap();
    assert_eq!(machine.status().await.unwrap(), "running");
    let mut console = machine.console();
    let prompt = console.wait_for(bootstash_qemu::ConsoleText::login_prompt);
    tokio::time::timeout(Duration::from_secs(90), prompt).await.unwrap().unwrap();
    assert!(machine.disk_traffic().await.unwrap().read_bytes > READS.len() as u64 * 512);
    assert!(machine.quit().await.unwrap().status.success());
    assert_eq!(export.trace().clusters(), Vec::<u64>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn qcow2_and_compressed_qcow2_give_the_cache_of_the_raw_disk() {
    let (dir, base) = disk(&GUEST);
    for options in [vec!["convert"], vec!["convert", "-c"]] {
        let name = format!("{}.qcow2", options.len());
        let args = [&options[..], &["-O", "qcow2", base.to_str().unwrap(), &name]].concat();
        tool("qemu-img", &args, dir.path());
        let request = request(&dir.path().join(&name), config()).await;
        let captured = captured(&request).await.unwrap();
        let (data, zeros) = held(&captured.cache);
        let read = GUEST.expected().into_iter().filter(|&cluster| cluster < 64).collect();
        assert_eq!(data, with_small_gaps(&read));
        assert_eq!(zeros, (64..DISK_BYTES / CLUSTER).collect());
        verify(&Qemu::find().unwrap(), &captured.cache, &request.image).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_never_boots_is_an_error_with_the_limit_and_its_last_lines() {
    let guest = Guest { says: "loading system\r\nwhere is my disk?\r\n", ..GUEST };
    let (dir, base) = disk(&guest);
    let config = CaptureConfig { boot_timeout: Duration::from_secs(12), ..config() };
    let error = captured(&request(&base, config).await).await.unwrap_err();
    let text = error.to_string();
    for part in [base.to_str().unwrap(), "within 12 s", "loading system | where is my disk?"] {
        assert!(text.contains(part), "{part:?} is missing: {text}");
    }
    assert_eq!(error.kind(), ErrorClass::Permanent);
    assert!(names(&dir.path().join("work")).is_empty(), "scratch was left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_without_a_system_is_given_up_long_before_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("blank.raw");
    std::fs::File::create(&base).unwrap().set_len(DISK_BYTES).unwrap();
    let error = captured(&request(&base, config()).await).await.unwrap_err().to_string();
    assert!(error.contains("finds nothing to boot from") && error.contains("No bootable device"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_panics_is_given_up_and_its_words_are_kept() {
    let (_dir, base) = disk(&Guest { says: "Kernel panic - not syncing: VFS\r\n", ..GUEST });
    let error = captured(&request(&base, config()).await).await.unwrap_err().to_string();
    assert!(error.contains("panicked") && error.contains("not syncing: VFS"), "{error}");
    assert!(error.contains("(boot 1, by BIOS, tried twice)"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boots_side_by_side_start_from_the_base_and_what_any_reads_is_kept() {
    let (_dir, base) = disk(&GUEST);
    let slots = GuestSlots::new(NonZeroUsize::new(4).unwrap());
    let captured = captured(&CaptureRequest { slots, ..request(&base, config()).await }).await.unwrap();
    let [first, second] = &captured.boots[..] else { panic!("{:?}", captured.boots) };
    assert_eq!((first.new_clusters, second.new_clusters), (READS.len() as u64 + 1, 0));
    assert_eq!(first.base_bytes, second.base_bytes, "the second did not read from the base");
    let overlap = |a: &BootRecord, b: &BootRecord| a.began_seconds < b.began_seconds + b.seconds;
    assert!(overlap(first, second) && overlap(second, first), "{:?}", captured.boots);
    assert_eq!(captured.confidence, Confidence::High);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_ends_the_guest_and_leaves_nothing() {
    let (dir, base) = disk(&Guest { says: "no prompt\r\n", ..GUEST });
    let request = request(&base, config()).await;
    let (progress, mut seen) = watch::channel(Progress::default());
    let cancel = CancellationToken::new();
    let capturing = tokio::spawn({
        let cancel = cancel.clone();
        async move { capture(&Qemu::find().unwrap(), &request, &progress, &cancel).await }
    });
    let speaks = seen.wait_for(|progress| {
        progress.console_line.is_some() && progress.clusters == Some(READS.len() as u64 + 1)
    });
    tokio::time::timeout(Duration::from_secs(90), speaks).await.unwrap().unwrap();
    assert_eq!(seen.borrow().boot, Some(1));
    assert!(runs_with(dir.path()), "this test would not see a guest that runs");
    cancel.cancel();
    let error = capturing.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorClass::Cancelled);
    assert!(names(&dir.path().join("work")).is_empty(), "scratch was left");
    tokio::time::timeout(Duration::from_secs(20), async {
        while runs_with(dir.path()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the guest still runs");
}

/// Whether a process works below this directory.
fn runs_with(dir: &Path) -> bool {
    std::fs::read_dir("/proc").unwrap().any(|process| {
        std::fs::read_link(process.unwrap().path().join("cwd"))
            .is_ok_and(|works_in| works_in.starts_with(dir))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_base_that_changed_meanwhile_is_not_verified() {
    let (_dir, base) = disk(&GUEST);
    let request = request(&base, config()).await;
    let captured = captured(&request).await.unwrap();
    let file = std::fs::File::options().write(true).open(&base).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"changed", 62 * CLUSTER).unwrap();
    let qemu = Qemu::find().unwrap();
    let error = verify(&qemu, &captured.cache, &request.image).await.unwrap_err();
    assert!(matches!(error, VerifyError::Changed { .. }), "{error}");
    std::os::unix::fs::FileExt::write_all_at(&file, b"changed", 7 * CLUSTER).unwrap();
    let error = verify(&qemu, &captured.cache, &request.image).await.unwrap_err();
    assert!(matches!(error, VerifyError::Compare(_)), "{error}");
}

/// QEMU's own copy-on-read filter as judge of what a boot reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn qemus_copy_on_read_filter_caches_the_same_clusters() {
    let (dir, base) = disk(&GUEST);
    let captured = captured(&request(&base, config()).await).await.unwrap();
    let path = dir.path().to_owned();
    tokio::task::spawn_blocking(move || boot_copying_on_read(&path)).await.unwrap();
    let (data, _) = held(&dir.path().join("cor.qcow2"));
    assert_eq!(held(&captured.cache).0, with_small_gaps(&data));
}

fn boot_copying_on_read(dir: &Path) {
    let size = DISK_BYTES.to_string();
    tool("qemu-img", &["create", "-qf", "qcow2", "cor.qcow2", &size], dir);
    tool(
        "qemu-img",
        &["create", "-qf", "qcow2", "-o", "cluster_size=128k,extended_l2=on", "o.qcow2", &size],
        dir,
    );
    let mut qemu = Command::new("qemu-system-x86_64")
        .current_dir(dir)
        .args([
            "-nodefaults",
            "-display",
            "none",
            "-machine",
            "q35,graphics=off",
            "-accel",
            "tcg",
            "-m",
            "64",
        ])
        .args(["-blockdev", "driver=raw,node-name=base,read-only=on,file.driver=file,file.filename=base.raw"])
        .args([
            "-blockdev",
            "driver=qcow2,node-name=cache,backing=base,file.driver=file,file.filename=cor.qcow2",
        ])
        .args(["-blockdev", "driver=copy-on-read,node-name=cor,file=cache"])
        .args(["-blockdev", "driver=qcow2,node-name=o,backing=cor,file.driver=file,file.filename=o.qcow2"])
        .args(["-device", "virtio-blk-pci,drive=o,bootindex=1", "-serial", "stdio"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut console, mut said) = (qemu.stdout.take().unwrap(), String::new());
    let mut byte = [0];
    while !said.ends_with("login:") && console.read(&mut byte).unwrap() == 1 {
        said.push(char::from(byte[0]));
    }
    // A killed QEMU would not write its tables; SIGTERM has it end in order.
    let pid = nix::unistd::Pid::from_raw(qemu.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    qemu.wait().unwrap();
    assert!(said.ends_with("login:"), "the guest did not boot: {said}");
}
