//! Inspecting images and making overlays.

use bootstash_base::file_owner::FileOwner;
use bootstash_base::impersonate::{ActAs, UnixPeer};
use bootstash_disk::ImageFormat;
use bootstash_disk::qcow2::read_backing;
use bootstash_qemu::{InspectError, NewOverlay, OverlayError, Qemu};
use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

fn qemu_img(args: &[&str], dir: &Path) {
    let output = Command::new("qemu-img").args(args).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn qemu_io(command: &str, file: &str, dir: &Path) {
    let output = Command::new("qemu-io").args(["-c", command, file]).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

async fn refused(file: &str, format: Option<ImageFormat>, dir: &Path) -> InspectError {
    let path = dir.join(file);
    let error = Qemu::find().unwrap().inspect(&path, format).await.unwrap_err();
    assert!(error.to_string().contains(path.to_str().unwrap()), "does not name the file: {error}");
    error
}

#[tokio::test]
async fn formats_are_detected_and_sizes_are_those_the_guest_sees() {
    let dir = tempfile::tempdir().unwrap();
    qemu_img(&["create", "-qf", "qcow2", "a.qcow2", "100M"], dir.path());
    std::fs::write(dir.path().join("b.raw"), [1; 1000]).unwrap();
    let qemu = Qemu::find().unwrap();
    let qcow2 = qemu.inspect(&dir.path().join("a.qcow2"), None).await.unwrap();
    assert_eq!((qcow2.format, qcow2.virtual_size_bytes), (ImageFormat::Qcow2, 100 << 20));
    let raw = qemu.inspect(&dir.path().join("b.raw"), None).await.unwrap();
    assert_eq!((raw.format, raw.virtual_size_bytes), (ImageFormat::Raw, 1024));
}

#[tokio::test]
async fn a_raw_disk_that_looks_like_qcow2_is_raw_when_said_so() {
    let dir = tempfile::tempdir().unwrap();
    qemu_img(&["create", "-qf", "qcow2", "-u", "-b", "/etc/passwd", "-F", "raw", "a", "1M"], dir.path());
    let qemu = Qemu::find().unwrap();
    let raw = qemu.inspect(&dir.path().join("a"), Some(ImageFormat::Raw)).await.unwrap();
    assert_eq!(raw.format, ImageFormat::Raw);
    assert!(matches!(refused("a", None, dir.path()).await, InspectError::Backing { .. }));
}

#[tokio::test]
async fn what_could_lead_to_other_files_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let options = "data_file=d.raw";
    qemu_img(&["create", "-qf", "qcow2", "-o", options, "data.qcow2", "1M"], dir.path());
    qemu_img(&["create", "-qf", "qcow2", "base.qcow2", "1M"], dir.path());
    qemu_img(&["create", "-qf", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "back.qcow2"], dir.path());
    qemu_img(&["create", "-qf", "vmdk", "-o", "subformat=monolithicFlat", "a.vmdk", "1M"], dir.path());
    assert!(matches!(refused("data.qcow2", None, dir.path()).await, InspectError::DataFile { .. }));
    assert!(matches!(refused("back.qcow2", None, dir.path()).await, InspectError::Backing { .. }));
    let vmdk = refused("a.vmdk", None, dir.path()).await;
    assert!(matches!(&vmdk, InspectError::Format { found, .. } if found == "vmdk"), "{vmdk}");
    assert!(vmdk.to_string().contains("qemu-img convert"), "{vmdk}");
}

#[tokio::test]
async fn a_qcow2_cut_short_anywhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    qemu_img(&["create", "-qf", "qcow2", "whole", "64M"], dir.path());
    qemu_io("write -P 7 0 4M", "whole", dir.path());
    let size = std::fs::metadata(dir.path().join("whole")).unwrap().len();
    assert!(Qemu::find().unwrap().inspect(&dir.path().join("whole"), None).await.is_ok());
    for cut in [60, 65_000, 140_000, 300_000, size / 2, size - 65_536] {
        std::fs::copy(dir.path().join("whole"), dir.path().join("cut")).unwrap();
        std::fs::File::options().write(true).open(dir.path().join("cut")).unwrap().set_len(cut).unwrap();
        let error = refused("cut", None, dir.path()).await;
        assert!(
            matches!(error, InspectError::Truncated { .. } | InspectError::Corrupt { .. }),
            "{cut}: {error:?}"
        );
    }
}

#[tokio::test]
async fn no_disk_and_an_absurd_disk_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("empty"), "").unwrap();
    std::fs::write(dir.path().join("text.qcow2"), "no qcow2 at all").unwrap();
    qemu_img(&["create", "-qf", "qcow2", "-o", "cluster_size=2M", "huge", "65T"], dir.path());
    assert!(matches!(refused("empty", None, dir.path()).await, InspectError::Size { .. }));
    assert!(matches!(refused("huge", None, dir.path()).await, InspectError::Size { .. }));
    let error = refused("text.qcow2", Some(ImageFormat::Qcow2), dir.path()).await;
    assert!(matches!(error, InspectError::NotQcow2 { .. }), "{error}");
    assert!(matches!(refused("missing", None, dir.path()).await, InspectError::File(_)));
    assert!(matches!(refused("", None, dir.path()).await, InspectError::File(_)));
}

#[tokio::test]
async fn an_overlay_names_its_cache_without_opening_it() {
    let dir = tempfile::tempdir().unwrap();
    let (overlay, cache) = (dir.path().join("vm.qcow2"), dir.path().join("not there, yet:1"));
    Qemu::find().unwrap().create_overlay(&overlay, &cache, 10 << 20).await.unwrap();
    let info = Command::new("qemu-img").args(["info", "--output=json"]).arg(&overlay).output().unwrap();
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
    assert_eq!(info["full-backing-filename"], cache.to_str().unwrap());
    assert_eq!(info["backing-filename-format"], "qcow2");
    assert_eq!((&info["virtual-size"], &info["cluster-size"]), (&(10 << 20).into(), &(128 << 10).into()));
    assert_eq!(info["format-specific"]["data"]["extended-l2"], true);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "something else was left");
}

#[tokio::test]
async fn an_overlay_never_replaces_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let qemu = Qemu::find().unwrap();
    let (file, link) = (dir.path().join("file"), dir.path().join("link"));
    std::fs::write(&file, "mine").unwrap();
    std::os::unix::fs::symlink("nowhere", &link).unwrap();
    for path in [&file, &link] {
        let error = qemu.create_overlay(path, Path::new("/c"), 1 << 20).await.unwrap_err();
        assert!(matches!(error, OverlayError::Exists { .. }), "{error}");
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    let error = qemu.create_overlay(&dir.path().join("no/a"), Path::new("/c"), 1 << 20).await.unwrap_err();
    assert!(matches!(error, OverlayError::NoDirectory { .. }), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "something was left");
}

fn new<'a>(path: &'a Path, backing: &'a Path) -> NewOverlay<'a> {
    NewOverlay { path, backing, virtual_size_bytes: 1 << 20, owner: None }
}

#[tokio::test]
async fn an_overlay_is_given_to_whom_it_is_made_for() {
    let (dir, qemu) = (tempfile::tempdir().unwrap(), Qemu::find().unwrap());
    let path = dir.path().join("a.qcow2");
    let owner = Some(FileOwner { uid: 64055, gid: 108 });
    let overlay = NewOverlay { owner, ..new(&path, Path::new("/c")) };
    qemu.create_overlay_with(&ActAs::Ours, overlay).await.unwrap();
    let made = std::fs::metadata(&path).unwrap();
    assert_eq!((made.uid(), made.gid(), made.mode() & 0o777), (64055, 108, 0o600));
}

#[tokio::test]
async fn an_overlay_for_a_user_is_made_by_that_user_or_not_at_all() {
    const ALICE: u32 = 54321;
    let alice = UnixPeer::numbered(ALICE, ALICE).act_as().unwrap();
    let (dir, qemu) = (tempfile::tempdir().unwrap(), Qemu::find().unwrap());
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let (overlay, backing) = (dir.path().join("a.qcow2"), Path::new("/c"));
    let error = qemu.create_overlay_with(&alice, new(&overlay, backing)).await.unwrap_err();
    assert!(
        matches!(&error, OverlayError::Io { source, .. } if source.kind() == ErrorKind::PermissionDenied)
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "something was left");
    std::os::unix::fs::chown(dir.path(), Some(ALICE), None).unwrap();
    qemu.create_overlay_with(&alice, new(&overlay, backing)).await.unwrap();
    let made = std::fs::metadata(&overlay).unwrap();
    assert_eq!((made.uid(), made.gid(), made.mode() & 0o777), (ALICE, ALICE, 0o600));
    assert_eq!(read_backing(&overlay).unwrap().unwrap().backing, backing);
    let error = qemu.create_overlay_with(&alice, new(&overlay, backing)).await.unwrap_err();
    assert!(matches!(error, OverlayError::Exists { .. }), "{error}");
    let long = Path::new("/").join("long/".repeat(300));
    qemu.create_overlay_with(&alice, new(&dir.path().join("b"), &long)).await.unwrap_err();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "something was left");
}

#[tokio::test]
async fn an_overlay_that_fails_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let backing = Path::new("/").join("long/".repeat(300));
    let error =
        Qemu::find().unwrap().create_overlay(&dir.path().join("a"), &backing, 1 << 20).await.unwrap_err();
    assert!(matches!(error, OverlayError::Layout { .. }), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "something was left");
}

#[tokio::test]
async fn kvm_is_used_only_where_a_guest_ran_under_it() {
    use bootstash_qemu::{Accelerator, AcceleratorChoice};
    let qemu = Qemu::find().unwrap();
    assert_eq!(qemu.accelerator(AcceleratorChoice::Tcg).await.unwrap(), Accelerator::Tcg);
    let automatic = qemu.accelerator(AcceleratorChoice::Auto).await.unwrap();
    let demanded = qemu.accelerator(AcceleratorChoice::Kvm).await;
    match automatic {
        Accelerator::Kvm => assert_eq!(demanded.unwrap(), Accelerator::Kvm),
        Accelerator::Tcg => assert!(demanded.unwrap_err().to_string().contains("accelerator = \"auto\"")),
    }
}
