//! Images with a boot cache that exists, so that registering one boots nothing.

use anyhow::{Context, Result};
use bootstash_disk::ImageFormat;
use bootstash_disk::qcow2;
use bootstash_disk::qcow2::{CLUSTER_BYTES, ClusterRuns, Layout};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Clusters of its own, clusters that every image has, and as many that hold zeros.
const OWN: u64 = 16;
const COMMON: u64 = 8;
const ZEROS: u64 = 16;

/// A raw disk, and the cache that a capture of it would have made.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) name: String,
    pub(super) base: PathBuf,
    pub(super) cache: PathBuf,
}

impl Image {
    /// Writes both into `dir`; the data depends on the name.
    pub(super) fn make(dir: &Path, name: &str) -> Result<Self> {
        let (base, cache) = (dir.join(format!("{name}.raw")), dir.join(format!("{name}.qcow2")));
        let disk = File::options().create(true).truncate(true).read(true).write(true).open(&base)?;
        disk.write_all_at(&noise(name, OWN), 0)?;
        disk.write_all_at(&noise("", COMMON), OWN * CLUSTER_BYTES)?;
        let size = (OWN + COMMON + ZEROS) * CLUSTER_BYTES;
        disk.set_len(size)?;
        let mut zeros = ClusterRuns::default();
        zeros.append(OWN + COMMON..OWN + COMMON + ZEROS);
        let layout = Layout::new(size, (0..OWN + COMMON).collect(), zeros, &base, ImageFormat::Raw)?;
        let read = |buffer: &mut [u8], offset: u64| disk.read_exact_at(buffer, offset);
        qcow2::write(&layout, read, &mut File::create(&cache)?)?;
        Ok(Self { name: name.to_owned(), base, cache })
    }

    /// What the cache of this image holds wherever it lies.
    pub(super) fn bytes(&self) -> Result<Vec<u8>> {
        std::fs::read(&self.cache).with_context(|| self.cache.display().to_string())
    }
}

fn noise(seed: &str, clusters: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(clusters * CLUSTER_BYTES).unwrap_or_default()];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}
