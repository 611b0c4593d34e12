//! Attacks by images that are on record, and their kin: each refused with its reason, the file it is after
//! never opened, and nothing left.

use crate::guest::{names, tool};
use bootstash_disk::ImageFormat;
use bootstash_disk::qcow2::hostile::{Hostile, vmdk_descriptor, vmdk_sparse};
use bootstash_disk::qcow2::{Feature, FormatViolation};
use bootstash_qemu::{InspectError, Qemu};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A file that an attack is after, which everybody may read, and who opens it.
struct Target {
    dir: tempfile::TempDir,
    opened: Inotify,
}

impl Target {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        std::fs::write(dir.path().join("secret"), [0x5a; 1 << 20]).unwrap();
        let opened = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
        opened.add_watch(&dir.path().join("secret"), AddWatchFlags::IN_OPEN).unwrap();
        Self { dir, opened }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("secret")
    }

    fn name(&self) -> String {
        self.path().to_str().unwrap().to_owned()
    }

    /// Whether nobody has opened it since this was asked last.
    fn is_untouched(&self) -> bool {
        match self.opened.read_events() {
            Err(Errno::EAGAIN) => true,
            events => events.unwrap().is_empty(),
        }
    }

    /// Inspects an image with these bytes, which must be refused without a trace.
    async fn refuses(&self, image: &[u8], format: Option<ImageFormat>) -> InspectError {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        std::fs::write(&path, image).unwrap();
        let (qemu, before) = (Qemu::find().unwrap(), places());
        let error = qemu.inspect(&path, format).await.unwrap_err();
        assert!(self.is_untouched(), "the target was opened");
        assert!(error.to_string().contains(path.to_str().unwrap()), "does not name the image: {error}");
        assert_eq!(std::fs::read(&path).unwrap(), image, "the image was written to");
        assert_eq!(names(dir.path()), std::slice::from_ref(&path), "something is left beside the image");
        gone(places().difference(&before)).await;
        error
    }
}

/// Places in which a tool finds an image.
fn places() -> BTreeSet<PathBuf> {
    names(&std::env::temp_dir()).into_iter().filter(|path| path.join("image").exists()).collect()
}

/// Waits until these are gone: tests that run beside have some, too, but none keeps any.
async fn gone(places: impl Iterator<Item = &PathBuf>) {
    for place in places {
        let going = async {
            while place.exists() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(90), going).await.expect("a place was left");
    }
}

async fn is_refused(image: &[u8]) -> InspectError {
    Target::new().refuses(image, None).await
}

/// Without this the others would prove nothing.
#[test]
fn a_tool_that_opens_the_target_would_be_seen() {
    let target = Target::new();
    let image = target.dir.path().join("image");
    std::fs::write(&image, Hostile::default().data_file(&target.name()).bytes()).unwrap();
    assert!(target.is_untouched());
    tool("qemu-io", &["-r", "-c", "length", image.to_str().unwrap()], target.dir.path());
    assert!(!target.is_untouched(), "QEMU does not open what an image names");
    std::fs::write(&image, vmdk_descriptor(&target.name())).unwrap();
    tool("qemu-img", &["info", image.to_str().unwrap()], target.dir.path());
    assert!(!target.is_untouched(), "QEMU does not open what a descriptor names");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cve_2024_32498_a_qcow2_whose_data_is_another_file() {
    let target = Target::new();
    let json = format!("json:{{\"driver\":\"file\",\"filename\":\"{}\"}}", target.name());
    let raw = |image: Hostile| image.put64(88, 2);
    let images = [
        Hostile::default().data_file(&target.name()),
        Hostile::default().data_file(&json),
        raw(Hostile::default().data_file(&target.name())),
        raw(Hostile::default().data_file(&json)),
        // By one of its marks only, or behind an extension that hides it.
        Hostile::default().data_file("").put64(72, 4),
        Hostile::default().data_file(&target.name()).put64(72, 0),
        Hostile::default().extension(0x6803_f857, &[0; 480]).data_file(&target.name()),
    ];
    for image in images {
        for format in [None, Some(ImageFormat::Qcow2)] {
            let error = target.refuses(&image.bytes(), format).await;
            assert!(matches!(error, InspectError::DataFile { .. }), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cve_2022_47951_a_vmdk_whose_extent_is_another_file() {
    let target = Target::new();
    let descriptor = vmdk_descriptor(&target.name());
    let images = [
        descriptor.clone().into_bytes(),
        // Behind comments and empty lines, where QEMU finds it, too.
        format!("# a note\n\n  \r\n{}", descriptor.replace("# Disk DescriptorFile\n", "")).into_bytes(),
        vmdk_sparse(&descriptor),
        vmdk_sparse(&descriptor.replace("monolithicFlat", "twoGbMaxExtentFlat")),
        [b"COWD", &vmdk_sparse(&descriptor)[4..]].concat(),
    ];
    for image in images {
        let error = target.refuses(&image, None).await;
        assert!(matches!(&error, InspectError::Format { found, .. } if found == "vmdk"), "{error}");
        assert!(error.to_string().contains("qemu-img convert"), "{error}");
        let error = target.refuses(&image, Some(ImageFormat::Qcow2)).await;
        assert!(matches!(&error, InspectError::NotQcow2 { .. }), "{error}");
    }
}

/// A guest wrote a qcow2 header onto its raw disk, for whoever looks at that without naming a format.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cve_2026_24708_a_raw_disk_that_turns_into_a_qcow2() {
    let target = Target::new();
    let json = format!("json:{{\"file\":{{\"driver\":\"file\",\"filename\":\"{}\"}}}}", target.name());
    for name in [target.name(), json] {
        let image = Hostile::default().backing(&name).bytes();
        let error = target.refuses(&image, None).await;
        assert!(matches!(error, InspectError::Backing { .. }), "{error}");
    }
    // Said to be raw it is raw, for us and for every QEMU after us.
    let image = target.dir.path().join("raw");
    std::fs::write(&image, Hostile::default().backing(&target.name()).data_file(&target.name()).bytes())
        .unwrap();
    let source = Qemu::find().unwrap().inspect(&image, Some(ImageFormat::Raw)).await.unwrap();
    assert_eq!((source.format, source.virtual_size_bytes), (ImageFormat::Raw, source.identity.size_bytes));
    assert!(target.is_untouched());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encrypted_image_is_refused_in_any_wrapping() {
    let luks = [b"LUKS\xba\xbe\0\x02", &[0; 4096][..]].concat();
    for image in [luks, Hostile::default().extension(0x0537_be77, &[0; 16]).put32(32, 2).bytes()] {
        let error = is_refused(&image).await;
        assert!(matches!(error, InspectError::Encrypted { .. }), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_other_format_that_qemu_writes_is_refused_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    for format in ["qed", "qcow", "parallels"] {
        tool("qemu-img", &["create", "-qf", format, format, "16M"], dir.path());
        let error = is_refused(&std::fs::read(dir.path().join(format)).unwrap()).await;
        assert!(matches!(&error, InspectError::Format { found, .. } if found == format), "{error}");
    }
    for kind in ["twoGbMaxExtentSparse", "monolithicFlat", "twoGbMaxExtentFlat"] {
        tool(
            "qemu-img",
            &["create", "-qf", "vmdk", "-o", &format!("subformat={kind}"), kind, "16M"],
            dir.path(),
        );
        let error = is_refused(&std::fs::read(dir.path().join(kind)).unwrap()).await;
        assert!(matches!(&error, InspectError::Format { found, .. } if found == "vmdk"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_of_another_program_that_is_chained_or_cut_is_refused_without_opening_its_parent() {
    let target = Target::new();
    let dir = tempfile::tempdir().unwrap();
    let create = ["create", "-qf", "vmdk", "-o", "subformat=monolithicSparse"];
    tool("qemu-img", &[&create[..], &["parent", "16M"]].concat(), dir.path());
    tool("qemu-img", &[&create[..], &["-b", "parent", "-F", "vmdk", "child"]].concat(), dir.path());
    let child = std::fs::read(dir.path().join("child")).unwrap();
    let text = String::from_utf8_lossy(&child).into_owned();
    assert!(text.contains("parentFileNameHint=\"parent\""), "QEMU names the parent otherwise");
    for format in [None, Some(ImageFormat::Vmdk)] {
        let error = target.refuses(&child, format).await;
        assert!(matches!(error, InspectError::Backing { .. }), "{error}");
    }
    for format in ["vmdk", "vdi", "vhdx", "vpc"] {
        tool("qemu-img", &["create", "-qf", format, format, "16M"], dir.path());
        let whole = std::fs::read(dir.path().join(format)).unwrap();
        let cut = if format == "vdi" { 900 } else { 1200 };
        let error = target.refuses(&whole[..cut], None).await;
        assert!(
            matches!(error, InspectError::Corrupt { .. } | InspectError::Truncated { .. }),
            "{format}: {error}"
        );
        let error = target.refuses(&whole, Some(ImageFormat::Qcow2)).await;
        assert!(matches!(error, InspectError::NotQcow2 { .. }), "{format}: {error}");
        let other = if format == "vdi" { ImageFormat::Vhdx } else { ImageFormat::Vdi };
        let error = target.refuses(&whole, Some(other)).await;
        assert!(matches!(error, InspectError::NotAs { .. }), "{format}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compression_that_no_qemu_knows_is_refused_with_the_remedy() {
    let image = Hostile::default().put64(72, 8).put(104, &[2]);
    let error = is_refused(&image.bytes()).await;
    let wanted = Feature::Compression(2);
    assert!(matches!(&error, InspectError::Feature { feature, .. } if *feature == wanted), "{error}");
    assert!(error.to_string().contains("qemu-img convert"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_file_that_claims_a_large_disk_is_refused() {
    let error = is_refused(&Hostile::default().one_cluster_everywhere().bytes()).await;
    assert!(
        matches!(
            &error,
            InspectError::Malformed {
                violation: FormatViolation::Overfull { data_bytes: 0x10_0000, .. },
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_of_the_writer_that_does_no_harm_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    std::fs::write(&path, Hostile::default().bytes()).unwrap();
    let source = Qemu::find().unwrap().inspect(&path, None).await.unwrap();
    assert_eq!((source.format, source.virtual_size_bytes), (ImageFormat::Qcow2, 1 << 20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_only_its_owner_can_read_is_inspected_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    std::fs::write(&path, Hostile::default().bytes()).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    assert!(Qemu::find().unwrap().inspect(&path, None).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_a_qemu_may_write_to_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for format in ["raw", "qcow2"] {
        tool("qemu-img", &["create", "-qf", format, format, "16M"], dir.path());
        let _writer = Writer::of(&dir.path().join(format), format);
        let error = Qemu::find().unwrap().inspect(&dir.path().join(format), None).await.unwrap_err();
        assert!(matches!(error, InspectError::InUse { .. }), "{error}");
    }
}

/// A QEMU tool that holds an image open to write, until dropped.
struct Writer(std::process::Child);

impl Writer {
    fn of(image: &Path, format: &str) -> Self {
        use std::io::{Read, Write};
        let mut tool = std::process::Command::new("qemu-io")
            .args(["-f", format])
            .arg(image)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        tool.stdin.as_mut().unwrap().write_all(b"length\n").unwrap();
        // It answers once it has the image.
        assert_eq!(tool.stdout.as_mut().unwrap().read(&mut [0; 64]).unwrap().min(1), 1);
        Self(tool)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
