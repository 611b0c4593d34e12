//! Which clusters of a base are zero, by their content: reads all its data once, in order.

use super::on_disk;
use bootstash_disk::nbd::{DiskImage, ExtentKind};
use bootstash_disk::qcow2::{CLUSTER_BYTES, ClusterRuns};
use std::io;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Read at once.
const CHUNK_CLUSTERS: u64 = 16;
static ZEROS: [u8; CLUSTER_BYTES as usize] = [0; CLUSTER_BYTES as usize];

/// Looks through `base`. Dropping the future stops it.
pub(super) async fn zero_clusters(base: &DiskImage) -> io::Result<ClusterRuns> {
    let (base, stop) = (base.clone(), CancellationToken::new());
    let _stops_on_drop: DropGuard = stop.clone().drop_guard();
    on_disk(move || Scan { base, stop }.run()).await
}

struct Scan {
    base: DiskImage,
    stop: CancellationToken,
}

impl Scan {
    fn run(&self) -> io::Result<ClusterRuns> {
        let clusters = self.base.size_bytes().div_ceil(CLUSTER_BYTES);
        let (mut zeros, mut next) = (ClusterRuns::default(), 0);
        let mut buffer = vec![0; (CHUNK_CLUSTERS * CLUSTER_BYTES) as usize];
        while next < clusters && !self.stop.is_cancelled() {
            let extent = self.base.extent_blocking(next * CLUSTER_BYTES)?;
            let end = (extent.offset + extent.length) / CLUSTER_BYTES;
            next = match extent.kind {
                // Ends with the disk, perhaps within its last cluster.
                ExtentKind::Zero if extent.offset + extent.length >= self.base.size_bytes() => {
                    zeros.append(next..clusters);
                    clusters
                }
                ExtentKind::Zero if end > next => {
                    zeros.append(next..end);
                    end
                }
                // A cluster that is partly a hole is read, too.
                _ => self.read(next..end.clamp(next + 1, clusters), &mut buffer, &mut zeros)?,
            };
        }
        Ok(zeros)
    }

    /// Reads a run of clusters and notes those which are zero; says where it ended.
    fn read(
        &self,
        clusters: std::ops::Range<u64>,
        buffer: &mut [u8],
        zeros: &mut ClusterRuns,
    ) -> io::Result<u64> {
        let mut next = clusters.start;
        while next < clusters.end && !self.stop.is_cancelled() {
            let count = CHUNK_CLUSTERS.min(clusters.end - next);
            let offset = next * CLUSTER_BYTES;
            let bytes = (count * CLUSTER_BYTES).min(self.base.size_bytes() - offset) as usize;
            self.base.read_blocking(&mut buffer[..bytes], offset)?;
            for (cluster, held) in (next..).zip(buffer[..bytes].chunks(CLUSTER_BYTES as usize)) {
                if *held == ZEROS[..held.len()] {
                    zeros.append(cluster..cluster + 1);
                }
            }
            next += count;
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootstash_disk::ImageFormat;
    use std::os::unix::fs::FileExt;

    const K64: u64 = CLUSTER_BYTES;

    /// Zeros of a sparse file of `size` bytes with these bytes written.
    async fn zeros_of(size: u64, written: &[(u64, &[u8])]) -> Vec<u64> {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(size).unwrap();
        for (offset, bytes) in written {
            file.as_file().write_all_at(bytes, *offset).unwrap();
        }
        let base = DiskImage::open(file.path(), ImageFormat::Raw, size.next_multiple_of(512)).await.unwrap();
        let zeros = zero_clusters(&base).await.unwrap();
        zeros.runs().iter().cloned().flatten().collect()
    }

    #[tokio::test]
    async fn zeros_are_found_by_content_whether_or_not_they_are_holes() {
        let written = vec![0; 3 * K64 as usize];
        let found = zeros_of(8 * K64, &[(0, b"x"), (2 * K64, &written), (5 * K64 + 9, b"y")]).await;
        assert_eq!(found, [1, 2, 3, 4, 6, 7]);
    }

    #[tokio::test]
    async fn a_cluster_that_is_partly_a_hole_is_read() {
        assert_eq!(zeros_of(3 * K64, &[(2 * K64 - 1, b"x")]).await, [0, 2]);
        assert_eq!(zeros_of(3 * K64, &[(K64 + 40_000, b"x")]).await, [0, 2]);
    }

    #[tokio::test]
    async fn a_short_last_cluster_counts() {
        assert_eq!(zeros_of(K64 + 700, &[(0, b"x")]).await, [1]);
        assert_eq!(zeros_of(K64 + 700, &[(0, b"x"), (K64 + 699, b"x")]).await, Vec::<u64>::new());
    }

    #[tokio::test]
    async fn an_empty_disk_is_all_zero_and_a_full_one_is_not() {
        assert_eq!(zeros_of(40 * K64, &[]).await.len(), 40);
        let full = vec![1; 40 * K64 as usize];
        assert_eq!(zeros_of(40 * K64, &[(0, &full)]).await, Vec::<u64>::new());
    }
}
