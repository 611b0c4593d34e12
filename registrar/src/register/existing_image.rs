//! What a name already stands for: the same image (fine) or another one (refused).

use bootstash_base::blocking::{BlockingError, BlockingPool};
use bootstash_base::error::Classified;
use bootstash_base::names::ImageName;
use bootstash_delta::catalog;
use bootstash_delta::catalog::{CatalogError, Manifest};
use bootstash_disk::{BaseChange, BaseReadError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long reading a base whole may take while somebody waits for the answer; one that takes longer is told by a few
/// of its blocks.
const READ_WHOLE_LIMIT: Duration = Duration::from_secs(45);
/// How long storage may take in all.
const ANSWER_LIMIT: Duration = Duration::from_secs(75);
/// Bases that are compared at once, and threads that storage which hangs can hold.
const AT_ONCE: usize = 4;

/// The name stands for something else.
#[derive(Debug, thiserror::Error, Classified)]
pub enum ExistingImageError {
    /// Another image.
    #[error(
        "image {name} is already registered from {}; choose another name, or `bootstash deregister {name}` first",
        .registered.display()
    )]
    #[class(permanent)]
    OtherSource {
        /// The name.
        name: ImageName,
        /// Where the registered image lies.
        registered: PathBuf,
    },
    /// The image has changed under its cache.
    #[error(
        "image {name} has changed since it was registered ({}: {change}); \
         `bootstash deregister {name}` and register it again",
        .source_path.display()
    )]
    #[class(permanent)]
    Changed {
        /// The name.
        name: ImageName,
        /// The image, by its file.
        source_path: PathBuf,
        /// How.
        change: BaseChange,
    },
    /// The image cannot be looked at.
    #[error(transparent)]
    #[class(source)]
    Base(#[from] BaseReadError),
    /// Its storage hangs, or is too slow.
    #[error("cannot compare {} with what was registered as {name}; try again when its storage answers", .source_path.display())]
    #[class(transient)]
    Unresponsive {
        /// The name.
        name: ImageName,
        /// The image, by its file.
        source_path: PathBuf,
        /// Why there is no answer.
        source: BlockingError,
    },
    /// The volume cannot be read.
    #[error(transparent)]
    #[class(operator)]
    Catalog(#[from] CatalogError),
}

/// What is registered as `name` in the volume mounted at `mountpoint`, which must have been made of the file at `source`.
/// Blocking, short: that file is not looked at.
///
/// # Errors
/// When it is another image, or cannot be read.
pub fn look_up(
    mountpoint: &Path,
    name: &ImageName,
    source: &Path,
) -> Result<Option<Manifest>, ExistingImageError> {
    match catalog::read_manifest(mountpoint, name) {
        Err(CatalogError::NotFound { .. }) => Ok(None),
        Ok(manifest) if manifest.source.path != source => {
            Err(ExistingImageError::OtherSource { name: name.clone(), registered: manifest.source.path })
        }
        read => Ok(Some(read?)),
    }
}

/// Compares registered images with what their files hold now. Cheap to clone; clones share its threads.
#[derive(Clone, Debug)]
pub struct BaseComparison(BlockingPool);

impl Default for BaseComparison {
    fn default() -> Self {
        Self(BlockingPool::new("base", AT_ONCE))
    }
}

impl BaseComparison {
    /// Gives the manifest back if its image is what was registered, by all that its file holds.
    ///
    /// # Errors
    /// When it has changed, or cannot be read in time.
    pub async fn unchanged(&self, manifest: Manifest) -> Result<Manifest, ExistingImageError> {
        let (name, source_path) = (manifest.name.clone(), manifest.source.path.clone());
        let until = tokio::time::Instant::now() + ANSWER_LIMIT;
        let compared = self.0.run(until, move || compare(&manifest).map(|change| (manifest, change))).await;
        let compared = compared.map_err(|source| ExistingImageError::Unresponsive {
            name: name.clone(),
            source_path: source_path.clone(),
            source,
        })?;
        match compared? {
            (manifest, None) => Ok(manifest),
            (_, Some(change)) => Err(ExistingImageError::Changed { name, source_path, change }),
        }
    }
}

/// Blocks.
fn compare(manifest: &Manifest) -> Result<Option<BaseChange>, BaseReadError> {
    let (identity, path) = (&manifest.source.identity, &manifest.source.path);
    let until = Instant::now() + READ_WHOLE_LIMIT;
    let in_time = || if Instant::now() < until { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) };
    match identity.change_of_all(path, in_time) {
        Err(BaseReadError::Io { source, .. }) if source.kind() == io::ErrorKind::TimedOut => {
            identity.change(path, || Ok(()))
        }
        compared => compared,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use bootstash_disk::{BaseIdentity, ContentDigest};
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    fn registered(path: &Path) -> Manifest {
        let mut manifest = testing::manifest("debian12");
        let content = ContentDigest::of(&File::open(path).unwrap(), || Ok(())).unwrap();
        manifest.source.identity = BaseIdentity { content: Some(content), ..BaseIdentity::of(path).unwrap() };
        manifest.source.path = path.to_owned();
        manifest
    }

    #[tokio::test]
    async fn asked_again_it_compares_all_that_the_image_holds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.raw");
        std::fs::write(&path, vec![7; 900_000]).unwrap();
        let (manifest, bases) = (registered(&path), BaseComparison::default());
        assert_eq!(bases.unchanged(manifest.clone()).await.unwrap(), manifest);
        let time = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::fs::copy(&path, dir.path().join("copy")).unwrap();
        std::fs::rename(dir.path().join("copy"), &path).unwrap();
        assert_eq!(bases.unchanged(manifest.clone()).await.unwrap(), manifest, "a copy is the same image");
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(b"x", 500_000).unwrap();
        file.set_modified(time).unwrap();
        let error = bases.unchanged(manifest).await.unwrap_err();
        assert!(matches!(error, ExistingImageError::Changed { .. }), "{error}");
        assert!(error.to_string().contains("its content is another"), "{error}");
    }

    #[tokio::test]
    async fn an_image_that_is_gone_is_an_error_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.raw");
        std::fs::write(&path, "x").unwrap();
        let manifest = registered(&path);
        std::fs::remove_file(&path).unwrap();
        let error = BaseComparison::default().unchanged(manifest).await.unwrap_err();
        assert!(matches!(error, ExistingImageError::Base(BaseReadError::Missing { .. })), "{error}");
    }
}
