//! One pass over a base, in order: which clusters are zero, by their content, and a digest of all it holds.

use super::on_disk;
use bootstash_disk::nbd::{DiskImage, ExtentKind};
use bootstash_disk::qcow2::{CLUSTER_BYTES, ClusterRuns};
use bootstash_disk::{BLOCK_BYTES, ContentDigest, ContentHasher, ImageFormat, Source};
use std::fs::File;
use std::io;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Read at once.
const CHUNK_CLUSTERS: u64 = 16;
static ZEROS: [u8; CLUSTER_BYTES as usize] = [0; CLUSTER_BYTES as usize];
// The clusters of a raw disk are the blocks of its file.
const _: () = assert!(BLOCK_BYTES == CLUSTER_BYTES);

/// What looking through a base showed.
#[derive(Debug)]
pub(super) struct Scanned {
    /// The clusters that are zero.
    pub(super) zeros: ClusterRuns,
    /// What the image's file holds.
    pub(super) content: ContentDigest,
}

/// Looks through `base`, the disk of `image`. Dropping the future stops it.
pub(super) async fn scan(base: &DiskImage, image: &Source) -> io::Result<Scanned> {
    let (base, image, stop) = (base.clone(), image.clone(), CancellationToken::new());
    let _stops_on_drop: DropGuard = stop.clone().drop_guard();
    on_disk(move || {
        let mut scan = Scan { base, stop, zeros: ClusterRuns::default(), content: ContentHasher::default() };
        scan.run()?;
        let content = match image.format {
            ImageFormat::Raw => scan.content.finish(image.identity.size_bytes),
            // Its file is another sequence of bytes than its disk.
            _ => ContentDigest::of(&File::open(&image.path)?, || still_wanted(&scan.stop))?,
        };
        Ok(Scanned { zeros: scan.zeros, content })
    })
    .await
}

fn still_wanted(stop: &CancellationToken) -> io::Result<()> {
    if stop.is_cancelled() { Err(io::Error::other("nobody waits for it any more")) } else { Ok(()) }
}

struct Scan {
    base: DiskImage,
    stop: CancellationToken,
    zeros: ClusterRuns,
    content: ContentHasher,
}

impl Scan {
    fn run(&mut self) -> io::Result<()> {
        let clusters = self.base.size_bytes().div_ceil(CLUSTER_BYTES);
        let mut next = 0;
        let mut buffer = vec![0; (CHUNK_CLUSTERS * CLUSTER_BYTES) as usize];
        while next < clusters {
            still_wanted(&self.stop)?;
            let extent = self.base.extent_blocking(next * CLUSTER_BYTES)?;
            let end = (extent.offset + extent.length) / CLUSTER_BYTES;
            next = match extent.kind {
                // Ends with the disk, perhaps within its last cluster.
                ExtentKind::Zero if extent.offset + extent.length >= self.base.size_bytes() => {
                    self.zeros.append(next..clusters);
                    clusters
                }
                ExtentKind::Zero if end > next => {
                    self.zeros.append(next..end);
                    end
                }
                // A cluster that is partly a hole is read, too.
                _ => self.read(next..end.clamp(next + 1, clusters), &mut buffer)?,
            };
        }
        Ok(())
    }

    /// Reads a run of clusters; says where it ended.
    fn read(&mut self, clusters: std::ops::Range<u64>, buffer: &mut [u8]) -> io::Result<u64> {
        let mut next = clusters.start;
        while next < clusters.end {
            still_wanted(&self.stop)?;
            let count = CHUNK_CLUSTERS.min(clusters.end - next);
            let offset = next * CLUSTER_BYTES;
            let bytes = (count * CLUSTER_BYTES).min(self.base.size_bytes() - offset) as usize;
            self.base.read_blocking(&mut buffer[..bytes], offset)?;
            for (cluster, held) in (next..).zip(buffer[..bytes].chunks(CLUSTER_BYTES as usize)) {
                match *held == ZEROS[..held.len()] {
                    true => self.zeros.append(cluster..cluster + 1),
                    false => self.content.block(cluster, held),
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
    use bootstash_disk::BaseIdentity;
    use bootstash_disk::firmware::Firmware;
    use std::os::unix::fs::FileExt;
    use std::path::Path;

    const K64: u64 = CLUSTER_BYTES;

    /// Zeros of a sparse file of `size` bytes with these bytes written.
    async fn zeros_of(size: u64, written: &[(u64, &[u8])]) -> Vec<u64> {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(size).unwrap();
        for (offset, bytes) in written {
            file.as_file().write_all_at(bytes, *offset).unwrap();
        }
        let image = raw(file.path(), size);
        let base = DiskImage::open(&image.path, image.format, image.virtual_size_bytes).await.unwrap();
        let scanned = scan(&base, &image).await.unwrap();
        let of_file = ContentDigest::of(file.as_file(), || Ok(())).unwrap();
        assert_eq!(scanned.content, of_file, "the pass saw something else than its file");
        scanned.zeros.runs().iter().cloned().flatten().collect()
    }

    fn raw(path: &Path, size: u64) -> Source {
        Source {
            path: path.to_owned(),
            format: ImageFormat::Raw,
            virtual_size_bytes: size.next_multiple_of(512),
            identity: BaseIdentity::of(path).unwrap(),
            firmware: Firmware::Bios,
        }
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
