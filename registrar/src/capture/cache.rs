//! Writing a cache file: of what was read so far, or of what a cache that is adopted holds.

use super::error::CaptureError;
use super::findings::Findings;
use super::on_disk;
use bootstash_delta::catalog::CacheFacts;
use bootstash_disk::Source;
use bootstash_disk::nbd::DiskImage;
use bootstash_disk::qcow2;
use bootstash_disk::qcow2::{CLUSTER_BYTES, Layout};
use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What lies between two clusters that were read, up to two read-ahead windows of Linux (256 KiB), is taken in, too: it
/// is the rest of a file that is mapped, and whether a boot reads it depends on which thread faults first. Found by
/// comparing captures and warm boots of one image: what one read and another had not was a single cluster of a systemd
/// program or of udev's hardware database, close to others that both had.
const GAP_CLUSTERS_MAX: u64 = 256 * 1024 / CLUSTER_BYTES;

/// Writes a cache of `image` with the clusters that were found, and small gaps between them, to a new file at `path`.
/// What nodes have already stays where it is, so that only what is new has to be sent to them.
pub(super) async fn write(
    base: &DiskImage,
    image: &Source,
    findings: &Findings,
    path: &Path,
) -> Result<CacheFacts, CaptureError> {
    let Findings { published, clusters, zeros, .. } = findings;
    let laid_out =
        |data| Layout::new(image.virtual_size_bytes, data, zeros.clone(), &image.path, image.format);
    let data = with_gaps_filled(clusters);
    let layout = match &published[..] {
        [] => laid_out(data)?,
        _ => laid_out(published.clone())?.extended(data)?,
    };
    let facts = facts(&layout);
    let (base, file) = (base.clone(), path.to_owned());
    on_disk(move || write_file(&layout, |buffer, offset| base.read_blocking(buffer, offset), &file))
        .await
        .map_err(|source| CaptureError::Write { path: path.to_owned(), source })?;
    Ok(facts)
}

fn with_gaps_filled(read: &BTreeSet<u64>) -> Vec<u64> {
    let mut data: Vec<u64> = Vec::with_capacity(read.len());
    for &cluster in read {
        if let Some(&last) = data.last()
            && cluster - last <= GAP_CLUSTERS_MAX + 1
        {
            data.extend(last + 1..cluster);
        }
        data.push(cluster);
    }
    data
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_of_two_read_ahead_windows_are_filled_and_no_larger_ones() {
        let read = BTreeSet::from([3, 4, 6, 11, 17]);
        assert_eq!(with_gaps_filled(&read), [3, 4, 5, 6, 7, 8, 9, 10, 11, 17]);
        assert_eq!(with_gaps_filled(&BTreeSet::from([0, 2])), [0, 1, 2]);
        assert_eq!(with_gaps_filled(&BTreeSet::new()), Vec::<u64>::new());
    }
}
