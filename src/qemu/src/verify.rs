//! Checking a boot cache: its metadata, and that it shows the bytes of its base.

use super::run::{self, Limits};
use super::served::{Served, argument, node};
use super::{Qemu, QemuFailure};
use async_trait::async_trait;
use bootstash_base::error::Classified;
use bootstash_disk::ImageFormat;
use bootstash_disk::nbd::{BlockSource, DiskImage};
use bootstash_disk::qcow2::header::BACKING_NAME;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

// Under these names a tool finds the files.
const CACHE: &str = "cache";
const BASE: &str = "base";

/// A cache's metadata is wrong, or could not be checked.
#[derive(Debug, thiserror::Error, Classified)]
pub enum CheckError {
    /// It contradicts itself.
    #[error("the qcow2 file {} is corrupt: {found}", .path.display())]
    #[class(permanent)]
    Corrupt {
        /// The file, by its path.
        path: PathBuf,
        /// What is wrong.
        found: String,
    },
    /// `qemu-img` could not be run, or failed.
    #[error("cannot check {}", .path.display())]
    #[class(source)]
    Other {
        /// The file, by its path.
        path: PathBuf,
        /// How the QEMU program failed.
        source: QemuFailure,
    },
}

/// A cache does not show the bytes of its base, or could not be compared.
#[derive(Debug, thiserror::Error, Classified)]
pub enum CompareError {
    /// They differ.
    #[error("{} does not show the bytes of {}: {found}; was the image written to meanwhile?", .cache.display(), .base.display())]
    #[class(permanent)]
    Different {
        /// The cache.
        cache: PathBuf,
        /// Its base.
        base: PathBuf,
        /// Where, as QEMU says it.
        found: String,
    },
    /// They cannot be handed to the process that compares them.
    #[error("cannot serve {} and {} to the process that compares them", .cache.display(), .base.display())]
    #[class(operator)]
    Serve {
        /// The cache.
        cache: PathBuf,
        /// Its base.
        base: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// `qemu-img` could not be run, or failed.
    #[error("cannot compare {} with {}", .cache.display(), .base.display())]
    #[class(source)]
    Other {
        /// The cache.
        cache: PathBuf,
        /// Its base.
        base: PathBuf,
        /// How the QEMU program failed.
        source: QemuFailure,
    },
}

impl Qemu {
    /// Checks the metadata of a qcow2 file. Its backing file is not opened.
    ///
    /// # Errors
    /// `Corrupt` where there is any error or leak: we write caches, so there must be none.
    pub async fn check(&self, cache: &Path) -> Result<(), CheckError> {
        let cache = run::absolute(cache);
        let args = run::args([&"check", &"--", &run::alone(&cache)]);
        let other = |source| CheckError::Other { path: cache.clone(), source };
        let finished = run::qemu_img(self.programs(), &args, Limits::METADATA).await.map_err(other)?;
        match finished.status.code() {
            Some(0) => Ok(()),
            Some(2 | 3) => {
                let found = format!("{}; {}", finished.stderr, run::one_line(&finished.stdout));
                Err(CheckError::Corrupt { path: cache, found })
            }
            _ => Err(other(finished.unexpected())),
        }
    }

    /// Reads a cache through its chain and its base on its own, and compares all of both. A base that has
    /// tables is read by a process of a user of its own, as when it was inspected.
    ///
    /// # Errors
    /// `Different` at the first byte that is not the same.
    pub async fn compare(&self, cache: &Path, base: &Path, format: ImageFormat) -> Result<(), CompareError> {
        let (cache, base) = (run::absolute(cache), run::absolute(base));
        let other = |source| CompareError::Other { cache: cache.clone(), base: base.clone(), source };
        // A base that cannot be looked at fails in QEMU, with QEMU's words.
        let bytes = tokio::fs::metadata(&base).await.map_or(0, |metadata| metadata.len());
        let limits = Limits::reading(bytes);
        let finished = match format {
            ImageFormat::Raw => {
                run::qemu_img(self.programs(), &comparison_of_raw(&cache, &base), limits).await
            }
            _ => {
                let served = serve(&cache, &base).map_err(|source| CompareError::Serve {
                    cache: cache.clone(),
                    base: base.clone(),
                    source,
                })?;
                served.qemu_img(self.programs(), &comparison(format), limits).await
            }
        };
        let finished = finished.map_err(other)?;
        match finished.status.code() {
            Some(0) => Ok(()),
            Some(1) => Err(CompareError::Different {
                found: run::one_line(&finished.stdout),
                cache: cache.clone(),
                base: base.clone(),
            }),
            _ => Err(other(finished.unexpected())),
        }
    }
}

fn serve(cache: &Path, base: &Path) -> io::Result<Served> {
    let bytes = |path| File::open(path).and_then(DiskImage::of_bytes);
    Served::start([(CACHE, Arc::new(Unchained(bytes(cache)?))), (BASE, Arc::new(bytes(base)?))])
}

/// A qcow2 file whose header names no backing file: a name there and a node given in its place are in conflict
/// for QEMU.
#[derive(Debug)]
struct Unchained(DiskImage);

#[async_trait]
impl BlockSource for Unchained {
    fn size_bytes(&self) -> u64 {
        self.0.size_bytes()
    }

    async fn read(&self, buffer: &mut Vec<u8>, offset: u64) -> io::Result<()> {
        self.0.read(buffer, offset).await?;
        for (at, byte) in (offset..).zip(buffer).take_while(|(at, _)| *at < BACKING_NAME.end) {
            if BACKING_NAME.contains(&at) {
                *byte = 0;
            }
        }
        Ok(())
    }
}

/// Nobody writes to either, and a base's storage may have no locks to say so.
fn comparison_of_raw(cache: &Path, base: &Path) -> Vec<OsString> {
    let file =
        |path: &Path| json!({ "driver": "file", "filename": path.to_string_lossy(), "locking": "off" });
    let base = json!({ "driver": "raw", "file": file(base) });
    let cache = json!({ "driver": "qcow2", "backing": base, "file": file(cache) });
    run::args([&"compare", &"--", &argument(&cache), &argument(&base)])
}

fn comparison(format: ImageFormat) -> Vec<OsString> {
    let base = node(BASE, format, &Value::Null);
    let cache = node(CACHE, ImageFormat::Qcow2, &base);
    run::args([&"compare", &"--", &argument(&cache), &argument(&base)])
}
