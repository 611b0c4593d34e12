//! Checking a boot cache: its metadata, and that it shows the bytes of its base.

use super::run::{self, Limits};
use super::{CheckError, CompareError, Qemu};
use crate::catalog::ImageFormat;
use std::path::Path;

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

    /// Reads a cache through its chain and its base on its own, and compares all of both.
    ///
    /// # Errors
    /// `Different` at the first byte that is not the same.
    pub async fn compare(&self, cache: &Path, base: &Path, format: ImageFormat) -> Result<(), CompareError> {
        let (cache, base) = (run::absolute(cache), run::absolute(base));
        let other = |source| CompareError::Other { cache: cache.clone(), base: base.clone(), source };
        let args = run::args([&"compare", &"-f", &"qcow2", &"-F", &format.as_str(), &"--", &cache, &base]);
        // A base that cannot be looked at fails in QEMU, with QEMU's words.
        let bytes = tokio::fs::metadata(&base).await.map_or(0, |metadata| metadata.len());
        let finished = run::qemu_img(self.programs(), &args, Limits::reading(bytes)).await.map_err(other)?;
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
