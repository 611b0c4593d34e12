//! Cache files of random clusters, judged by QEMU.

use crate::guest::{CLUSTER, held};
use bootstash_disk::ImageFormat;
use bootstash_disk::qcow2;
use bootstash_disk::qcow2::read_backing;
use bootstash_disk::qcow2::{ClusterRuns, Layout};
use bootstash_qemu::{CheckError, CompareError, Qemu};
use bootstash_tests::lab::run::Call;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Spans three second-level tables, and ends within a cluster.
const SIZE: u64 = (1 << 30) + 3 * 512;
const CLUSTERS: u64 = SIZE / CLUSTER + 1;

/// A base with data in `data`, and a cache that holds these clusters and marks all others as zero.
fn made(dir: &Path, data: &[u64]) -> (PathBuf, PathBuf) {
    let (base, cache) = (dir.join("base.raw"), dir.join("cache.qcow2"));
    let file = File::create_new(&base).unwrap();
    file.set_len(SIZE).unwrap();
    let mut zeros = ClusterRuns::default();
    for cluster in 0..CLUSTERS {
        if data.contains(&cluster) {
            file.write_all_at(&[7; 512], cluster * CLUSTER).unwrap();
        } else {
            zeros.append(cluster..cluster + 1);
        }
    }
    write(&base, data, zeros, &cache);
    (base, cache)
}

fn write(base: &Path, data: &[u64], zeros: ClusterRuns, cache: &Path) {
    let file = File::open(base).unwrap();
    let layout = Layout::new(SIZE, data.to_vec(), zeros, base, ImageFormat::Raw).unwrap();
    let read = |buffer: &mut [u8], offset: u64| file.read_exact_at(buffer, offset);
    qcow2::write(&layout, read, &mut File::create_new(cache).unwrap()).unwrap();
}

fn scattered() -> Vec<u64> {
    (0..CLUSTERS)
        .filter(|cluster| cluster % 97 == 3 || (500..520).contains(cluster))
        .chain([CLUSTERS - 1])
        .collect()
}

#[tokio::test]
async fn qemu_finds_no_fault_in_a_cache_and_the_bytes_of_its_base() {
    let dir = tempfile::tempdir().unwrap();
    let (base, cache) = made(dir.path(), &scattered());
    let qemu = Qemu::find().unwrap();
    qemu.check(&cache).await.unwrap();
    qemu.compare(&cache, &base, ImageFormat::Raw).await.unwrap();
    let (data, zeros) = held(&cache);
    assert!(data.iter().eq(&scattered()));
    assert_eq!(data.len() as u64 + zeros.len() as u64, CLUSTERS);
}

#[tokio::test]
async fn comparing_follows_the_chain_to_what_the_cache_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let (base, _) = made(dir.path(), &scattered());
    let partial = dir.path().join("partial.qcow2");
    write(&base, &[3], ClusterRuns::default(), &partial);
    Qemu::find().unwrap().compare(&partial, &base, ImageFormat::Raw).await.unwrap();
}

#[tokio::test]
async fn comparing_finds_a_wrong_byte_and_a_wrong_zero() {
    let dir = tempfile::tempdir().unwrap();
    let (base, cache) = made(dir.path(), &scattered());
    let qemu = Qemu::find().unwrap();
    let file = File::options().write(true).open(&base).unwrap();
    file.write_all_at(&[8], 500 * CLUSTER + 9).unwrap();
    let error = qemu.compare(&cache, &base, ImageFormat::Raw).await.unwrap_err();
    assert!(matches!(error, CompareError::Different { .. }), "{error}");
    file.write_all_at(&[7], 500 * CLUSTER + 9).unwrap();
    file.write_all_at(&[8], 700 * CLUSTER).unwrap();
    let error = qemu.compare(&cache, &base, ImageFormat::Raw).await.unwrap_err();
    assert!(matches!(error, CompareError::Different { .. }), "{error}");
}

#[tokio::test]
async fn checking_needs_no_base_and_finds_a_broken_table() {
    let dir = tempfile::tempdir().unwrap();
    let (base, cache) = made(dir.path(), &scattered());
    std::fs::remove_file(base).unwrap();
    Qemu::find().unwrap().check(&cache).await.unwrap();
    File::options().write(true).open(&cache).unwrap().write_all_at(&[0, 9], 2 * CLUSTER).unwrap();
    let error = Qemu::find().unwrap().check(&cache).await.unwrap_err();
    assert!(matches!(error, CheckError::Corrupt { .. }), "{error}");
}

/// What the agent tells whoever has an overlay and no boot cache any more: every byte of a cache is the
/// base's, so the disk is the same without it.
#[tokio::test]
async fn an_overlay_whose_cache_is_gone_is_mended_by_chaining_it_onto_the_base() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let (base, cache) = made(dir.path(), &scattered());
    let overlay = dir.path().join("vm.qcow2");
    Qemu::find().unwrap().create_overlay(&overlay, &cache, SIZE).await.unwrap();
    // Over data, over zeros, and less than a cluster.
    let writes = ["-c", "write -P 1 196608 64k", "-c", "write -P 2 1M 4k", "-c", "write -P 3 33M 512"];
    Call::new("qemu-io").args(["-f", "qcow2"]).args(writes).args([&overlay]).output().unwrap();
    let before = at("before.qcow2");
    Call::new("qemu-img").args(["convert", "-O", "qcow2", &at("vm.qcow2"), &before]).output().unwrap();
    std::fs::remove_file(&cache).unwrap();
    let base = base.display().to_string();
    let remedy = ["rebase", "-u", "-b", &base, "-F", "raw", &at("vm.qcow2")];
    Call::new("qemu-img").args(remedy).output().unwrap();
    Call::new("qemu-img").args(["compare", &before, &at("vm.qcow2")]).output().unwrap();
    assert_eq!(read_backing(&overlay).unwrap().unwrap().backing.display().to_string(), base);
}
