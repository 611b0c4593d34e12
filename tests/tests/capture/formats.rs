//! Images in every form that is taken: all of their disk is read right, a guest boots from them, and the chain that a VM
//! opens shows their bytes.

use crate::guest::{DISK_BYTES, Guest, held, tool, with_small_gaps};
use bootstash_daemon::config::CaptureConfig;
use bootstash_disk::nbd::DiskImage;
use bootstash_disk::{ImageFormat, Source};
use bootstash_net::api::{CaptureChoices, Progress};
use bootstash_qemu::{AcceleratorChoice, Qemu};
use bootstash_registrar::capture::{Boots, CaptureRequest, GuestSlots, capture, verify};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const GUEST: Guest<'static> =
    Guest { reads: &[60, 7, 3, 300], writes: 50, says: "hello\r\nhost login: \r\nhost login: " };

/// How `qemu-img convert` is told to make an image, and what it is then taken for.
type Form = (&'static [&'static str], ImageFormat);

const QCOW2: [Form; 11] = [
    (&["-o", "compat=0.10"], ImageFormat::Qcow2),
    (&["-o", "compat=0.10", "-c"], ImageFormat::Qcow2),
    (&["-o", "compat=1.1", "-c"], ImageFormat::Qcow2),
    (&["-o", "compression_type=zstd", "-c"], ImageFormat::Qcow2),
    (&["-o", "compression_type=zstd"], ImageFormat::Qcow2),
    (&["-o", "cluster_size=512"], ImageFormat::Qcow2),
    (&["-o", "cluster_size=512", "-c"], ImageFormat::Qcow2),
    (&["-o", "cluster_size=2M"], ImageFormat::Qcow2),
    (&["-o", "cluster_size=2M", "-c"], ImageFormat::Qcow2),
    (&["-o", "extended_l2=on,cluster_size=128k"], ImageFormat::Qcow2),
    (&["-o", "extended_l2=on,cluster_size=16k,compression_type=zstd", "-c"], ImageFormat::Qcow2),
];
const FOREIGN: [Form; 8] = [
    (&["-o", "subformat=monolithicSparse"], ImageFormat::Vmdk),
    (&["-o", "subformat=streamOptimized"], ImageFormat::Vmdk),
    (&[], ImageFormat::Vdi),
    (&["-o", "static=on"], ImageFormat::Vdi),
    (&[], ImageFormat::Vhdx),
    (&["-o", "subformat=fixed"], ImageFormat::Vhdx),
    (&["-o", "force_size=on"], ImageFormat::Vpc),
    (&["-o", "subformat=fixed,force_size=on"], ImageFormat::Vpc),
];

/// Writes a raw disk of an odd number of sectors, with data that compresses, data that does not, and gaps.
fn write_disk(path: &Path, size: u64) {
    let disk = std::fs::File::create_new(path).unwrap();
    disk.set_len(size).unwrap();
    let mut noise = vec![0; 200_000];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    for (offset, bytes) in
        [(0, &noise[..]), (1 << 20, &[7; 70_000]), (3_333_333, &noise[..99]), (size - 77, &[9; 77])]
    {
        disk.write_all_at(bytes, offset).unwrap();
    }
}

fn convert(dir: &Path, raw: &str, (options, format): Form, name: &str) {
    let fixed = ["convert", "-f", "raw", "-O", format.as_str()];
    tool("qemu-img", &[&fixed[..], options, &[raw, name]].concat(), dir);
}

async fn inspected(path: &Path) -> Source {
    Qemu::find().unwrap().inspect(path, None).await.unwrap()
}

/// All of the disk, as the registrar reads it.
async fn read(image: &Source) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let base = Qemu::find().unwrap().open_image(image, dir.path()).await.unwrap();
    let mut bytes = vec![0; usize::try_from(image.virtual_size_bytes).unwrap()];
    read_blocking(base, &mut bytes).await;
    bytes
}

async fn read_blocking(base: DiskImage, bytes: &mut Vec<u8>) {
    let mut taken = std::mem::take(bytes);
    let reading = tokio::task::spawn_blocking(move || {
        // In pieces that are no whole clusters.
        for (piece, at) in taken.chunks_mut(1_000_448).zip((0..).step_by(1_000_448)) {
            base.read_blocking(piece, at).unwrap();
        }
        taken
    });
    *bytes = reading.await.unwrap();
}

/// What QEMU says the disk holds.
fn as_qemu_reads(dir: &Path, name: &str, format: ImageFormat) -> Vec<u8> {
    tool("qemu-img", &["convert", "-f", format.as_str(), "-O", "raw", name, "out.raw"], dir);
    let bytes = std::fs::read(dir.join("out.raw")).unwrap();
    std::fs::remove_file(dir.join("out.raw")).unwrap();
    bytes
}

async fn assert_read_right(dir: &Path, name: &str, format: ImageFormat, what: &str) {
    let image = inspected(&dir.join(name)).await;
    assert_eq!(image.format, format, "{what}");
    let wanted = as_qemu_reads(dir, name, format);
    let read = read(&image).await;
    assert_eq!(read.len(), wanted.len(), "{what}");
    assert!(read == wanted, "{what}: other bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_form_of_qcow2_is_read_right_whatever_its_size() {
    let dir = tempfile::tempdir().unwrap();
    for size in [5 << 20, (5 << 20) + 512 * 3, 4_000_256] {
        write_disk(&dir.path().join("a.raw"), size);
        for form in QCOW2 {
            convert(dir.path(), "a.raw", form, "image");
            assert_read_right(dir.path(), "image", form.1, &format!("{size} {:?}", form.0)).await;
            std::fs::remove_file(dir.path().join("image")).unwrap();
        }
        std::fs::remove_file(dir.path().join("a.raw")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disks_of_other_programs_are_read_right() {
    let dir = tempfile::tempdir().unwrap();
    write_disk(&dir.path().join("a.raw"), (6 << 20) + 512 * 7);
    for form in FOREIGN {
        convert(dir.path(), "a.raw", form, "image");
        assert_read_right(dir.path(), "image", form.1, &format!("{} {:?}", form.1, form.0)).await;
        std::fs::remove_file(dir.path().join("image")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_qcow2_with_internal_snapshots_is_read_as_it_is_now() {
    let dir = tempfile::tempdir().unwrap();
    write_disk(&dir.path().join("a.raw"), 5 << 20);
    for (options, write) in
        [(&[][..], "write -P 5 64k 300k"), (&["-o", "extended_l2=on"][..], "write -P 6 1M 5k")]
    {
        convert(dir.path(), "a.raw", (options, ImageFormat::Qcow2), "image");
        for name in ["one", "two"] {
            tool("qemu-img", &["snapshot", "-c", name, "image"], dir.path());
            tool("qemu-io", &["-f", "qcow2", "-c", write, "image"], dir.path());
        }
        assert_read_right(dir.path(), "image", ImageFormat::Qcow2, write).await;
        std::fs::remove_file(dir.path().join("image")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_raw_disk_of_odd_size_is_read_to_its_last_byte() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.raw");
    write_disk(&path, 4_000_001);
    let image = inspected(&path).await;
    assert_eq!((image.format, image.virtual_size_bytes), (ImageFormat::Raw, 4_000_256));
    let (bytes, wanted) = (read(&image).await, std::fs::read(&path).unwrap());
    assert!(bytes[..wanted.len()] == wanted && bytes[wanted.len()..].iter().all(|byte| *byte == 0));
}

fn config() -> CaptureConfig {
    CaptureConfig {
        accelerator: AcceleratorChoice::Tcg,
        quiet: Duration::from_secs(1),
        boot_timeout: Duration::from_secs(90),
        memory_mib: 64,
        ..CaptureConfig::default()
    }
}

/// Captures the image, and has QEMU open what a VM would: by the names in headers.
async fn assert_captured(dir: &Path, form: Form) {
    let what = format!("{} {:?}", form.1, form.0);
    convert(dir, "base.raw", form, "image");
    let (qemu, image) = (Qemu::find().unwrap(), inspected(&dir.join("image")).await);
    assert_eq!(image.virtual_size_bytes, DISK_BYTES, "{what}");
    let request = CaptureRequest {
        image: image.clone(),
        work_dir: dir.join("work"),
        config: config(),
        choices: CaptureChoices::default(),
        boots: Boots::All,
        slots: GuestSlots::of_this_host(),
    };
    let (progress, _) = watch::channel(Progress::default());
    let captured = capture(&qemu, &request, &progress, &CancellationToken::new()).await.unwrap();
    let wanted = GUEST.expected().into_iter().filter(|&cluster| cluster < 64).collect();
    assert_eq!(held(&captured.cache).0, with_small_gaps(&wanted), "{what}");
    assert!(captured.content.is_some_and(|content| !content.samples.is_empty()), "{what}");
    verify(&qemu, &captured.cache, &image).await.unwrap();
    assert_eq!(std::fs::read_dir(dir.join("work")).unwrap().count(), 1, "{what}: scratch was left");

    let overlay = dir.join("vm.qcow2");
    qemu.create_overlay(&overlay, &captured.cache, image.virtual_size_bytes).await.unwrap();
    let seen = as_qemu_reads(dir, "vm.qcow2", ImageFormat::Qcow2);
    assert!(seen == std::fs::read(dir.join("base.raw")).unwrap(), "{what}: a VM sees other bytes");
    for name in ["image", "vm.qcow2", "work/cache.qcow2"] {
        std::fs::remove_file(dir.join(name)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_boots_from_every_format_and_its_cache_chains_onto_it() {
    let dir = tempfile::tempdir().unwrap();
    GUEST.write(&dir.path().join("base.raw"));
    for form in
        [QCOW2[1], QCOW2[3], QCOW2[6], QCOW2[10], FOREIGN[0], FOREIGN[1], FOREIGN[2], FOREIGN[4], FOREIGN[6]]
    {
        assert_captured(dir.path(), form).await;
    }
}
