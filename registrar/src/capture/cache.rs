//! Writing a cache file: of what was read so far, or of what a cache that is adopted holds.

use super::error::CaptureError;
use super::on_disk;
use bootstash_delta::catalog::CacheFacts;
use bootstash_disk::Source;
use bootstash_disk::nbd::DiskImage;
use bootstash_disk::qcow2;
use bootstash_disk::qcow2::{CLUSTER_BYTES, ClusterRuns, Layout};
use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Writes a cache of `image` with the clusters `read` to a new file at `path`.
pub(super) async fn write(
    base: &DiskImage,
    image: &Source,
    read: &BTreeSet<u64>,
    zeros: &ClusterRuns,
    path: &Path,
) -> Result<CacheFacts, CaptureError> {
    let data = read.iter().copied().collect();
    let layout = Layout::new(image.virtual_size_bytes, data, zeros.clone(), &image.path, image.format)?;
    let facts = facts(&layout);
    let (base, file) = (base.clone(), path.to_owned());
    on_disk(move || write_file(&layout, |buffer, offset| base.read_blocking(buffer, offset), &file))
        .await
        .map_err(|source| CaptureError::Write { path: path.to_owned(), source })?;
    Ok(facts)
}

pub(super) fn facts(layout: &Layout) -> CacheFacts {
    CacheFacts {
        bytes: layout.file_bytes(),
        cluster_bytes: CLUSTER_BYTES,
        data_clusters: layout.data().len() as u64,
        zero_clusters: layout.zero_clusters(),
    }
}

/// Writes a new file, with data from `read`, through to the disk. Blocks.
pub(super) fn write_file(
    layout: &Layout,
    read: impl FnMut(&mut [u8], u64) -> io::Result<()>,
    path: &Path,
) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    // A guest's QEMU reads it as a user of its own, from a directory that only the two of us may enter.
    file.set_permissions(Permissions::from_mode(0o644))?;
    qcow2::write(layout, read, &mut file)?;
    // The job's record says that the cache is there; after a power cut that must still be so.
    file.sync_all()
}
