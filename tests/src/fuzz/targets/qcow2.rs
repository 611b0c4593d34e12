//! qcow2 files: what a header names, and what a boot cache holds, read without QEMU.

use crate::fuzz::{Reader, Verdict, bytes};
use anyhow::ensure;
use bootstash_disk::ImageFormat;
use bootstash_disk::qcow2;
use bootstash_disk::qcow2::read_backing;
use bootstash_disk::qcow2::{CLUSTER_BYTES, CacheFile, ClusterRuns, Layout};
use fastrand::Rng;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A small disk, and one so large that tables are many.
const DISKS: [u64; 2] = [40 * CLUSTER_BYTES + 512, 1 << 40];
/// What QEMU accepts as a name.
const LONGEST_NAME: usize = 1024;

pub(super) fn seeds() -> Vec<Vec<u8>> {
    DISKS.iter().filter_map(|disk| cache(*disk)).collect()
}

fn cache(disk_bytes: u64) -> Option<Vec<u8>> {
    let mut zeros = ClusterRuns::default();
    zeros.append(2..5);
    zeros.append(7..40);
    let base = Path::new("/srv/images/debian12.raw");
    let layout = Layout::new(disk_bytes, vec![1, 6], zeros, base, ImageFormat::Raw).ok()?;
    let mut file = Vec::new();
    qcow2::write(&layout, |_, _| Ok(()), &mut file).ok()?;
    Some(file)
}

/// Numbers in the header and entries of tables; bytes of data decide nothing.
pub(super) fn mutate(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut file = super::super::pick(rng, seeds).clone();
    for _ in 0..=rng.u32(..6) {
        match rng.u32(..8) {
            0 => file.truncate(rng.usize(..=file.len())),
            1..4 => set(rng, &mut file, 0..112),
            4 => {
                let mut header = file[..file.len().min(256)].to_vec();
                bytes::change(rng, &mut header, b"");
                header.resize(256.min(file.len()), 0);
                file[..header.len()].copy_from_slice(&header);
            }
            _ => entry(rng, &mut file),
        }
    }
    file
}

/// An aligned number somewhere.
fn set(rng: &mut Rng, file: &mut [u8], within: std::ops::Range<usize>) {
    let (at, width) = (rng.usize(within) & !3, *super::super::pick(rng, &[4_usize, 8]));
    let value = match rng.bool() {
        true => *super::super::pick(rng, &bytes::INTERESTING),
        false => entry_value(rng),
    };
    if let Some(place) = file.get_mut(at..at + width) {
        place.copy_from_slice(&value.to_be_bytes()[8 - width..]);
    }
}

/// A cluster near the beginning, with or without the bits that say what it is.
fn entry_value(rng: &mut Rng) -> u64 {
    (rng.u64(..8) * CLUSTER_BYTES) | (rng.u64(..4) << 62) | rng.u64(..2)
}

/// Entries of a table: one, or many that are the same, or every other.
fn entry(rng: &mut Rng, file: &mut [u8]) {
    let clusters = file.len() / CLUSTER_BYTES as usize;
    let start = rng.usize(1..clusters.max(2)) * CLUSTER_BYTES as usize + 8 * rng.usize(..64);
    let value = entry_value(rng);
    let (count, step) = (*super::super::pick(rng, &[1, 64, 8192]), 8 * rng.usize(1..3));
    for at in (start..file.len()).step_by(step).take(count) {
        if let Some(place) = file.get_mut(at..at + 8) {
            place.copy_from_slice(&value.to_be_bytes());
        }
    }
}

pub(super) fn open() -> Reader {
    let dir = super::scratch();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    Box::new(move |bytes| {
        let dir = dir.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
        let runtime = runtime.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
        let path = dir.path().join("file");
        std::fs::write(&path, bytes)?;
        chained(&path, bytes)?;
        let _entered = runtime.enter();
        held(&path, bytes)
    })
}

/// The name that is read stands in the file.
fn chained(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let Some(backed) = read_backing(path)? else { return Ok(()) };
    let name = backed.backing.as_os_str().as_bytes();
    ensure!(bytes.starts_with(b"QFI\xfb") && name.len() <= LONGEST_NAME, "{name:?}");
    ensure!(
        name.is_empty() || bytes.windows(name.len()).any(|part| part == name),
        "it does not name {name:?}"
    );
    Ok(())
}

/// Reading is bounded, and clusters lie within the disk, once and in order.
fn held(path: &Path, bytes: &[u8]) -> anyhow::Result<Verdict> {
    let Ok(cache) = CacheFile::open(path) else { return Ok(Verdict::Refused) };
    let mut tables = 0_u64;
    let most = 1 + bytes.len() as u64 / 8;
    let held = cache.allocation_map(|| {
        tables += 1;
        if tables > most { Err(std::io::Error::other("endless")) } else { Ok(()) }
    });
    ensure!(tables <= most, "it goes on and on: {tables} looks at a file of {} bytes", bytes.len());
    let Ok(held) = held else { return Ok(Verdict::Refused) };
    ensure!(held.data.is_sorted_by(|a, b| a < b), "clusters out of order: {:?}", held.data);
    ensure!(held.data.len() as u64 <= bytes.len() as u64 / CLUSTER_BYTES, "more clusters than the file has");
    let mut buffer = vec![0; 512];
    for cluster in held.data.iter().take(4) {
        drop(cache.read(&mut buffer, cluster * CLUSTER_BYTES));
    }
    Ok(Verdict::Accepted)
}
