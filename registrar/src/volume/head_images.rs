//! The images in the head, kept in memory for whoever asks.
//!
//! Promises: asking reads no file while nothing has changed; what the volume's task changed is seen by the next to
//! ask, what somebody changed behind its back after a while; a ZFS that hangs keeps nobody from what was read before.

use super::VolumeReader;
use super::reader::VolumeReadError;
use bootstash_base::error::Classified;
use bootstash_base::names::ImageName;
use bootstash_delta::catalog::{self, Catalog, CatalogError};
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;

/// What the head holds. Cheap to clone; clones are one.
#[derive(Clone, Debug)]
pub struct HeadImages {
    reader: VolumeReader,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    catalog: Catalog,
    /// When the directory of images was changed last, as of `catalog`.
    directory: Option<(i64, i64)>,
    /// Nothing in the head is otherwise than in `catalog`.
    current: bool,
    /// Counts what makes a reading under way too old to be kept.
    changes: u64,
}

/// The images in the head cannot be told.
#[derive(Debug, thiserror::Error, Classified)]
pub enum HeadImagesError {
    /// The volume's file system.
    #[error(transparent)]
    #[class(source)]
    Read(#[from] VolumeReadError),
    /// What it holds.
    #[error("cannot read the volume")]
    #[class(operator)]
    Catalog(#[from] CatalogError),
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    std::fs::read(path)
}

impl HeadImages {
    /// Of what is mounted there; nothing is read before somebody asks.
    pub fn new(mountpoint: &Path) -> Self {
        Self { reader: VolumeReader::new(mountpoint), kept: Arc::default() }
    }

    /// All images, those among them that are imported and not yet published.
    ///
    /// # Errors
    /// When they have to be read, and cannot be.
    pub async fn read(&self) -> Result<Catalog, HeadImagesError> {
        let (known, changes) = match &*self.kept.lock() {
            kept if kept.current => return Ok(kept.catalog.clone()),
            kept => (kept.catalog.clone(), kept.changes),
        };
        let reading = self.reader.read(move |root| {
            let directory = catalog::images_changed(root).ok().flatten();
            (known.updated(root, &read), directory)
        });
        let (catalog, directory) = reading.await?;
        let catalog = catalog?;
        let mut kept = self.kept.lock();
        if kept.changes == changes {
            *kept = Kept { catalog: catalog.clone(), directory, current: true, changes };
        }
        Ok(catalog)
    }

    /// An image came or went. Blocking; only the volume's task calls it, so that no two do at once.
    pub(super) fn changed(&self, root: &Path, name: &ImageName) {
        let mut catalog = match &mut *self.kept.lock() {
            kept if kept.current => kept.catalog.clone(),
            kept => return kept.changes += 1,
        };
        let updated = catalog.update_image(root, name, &read);
        let directory = catalog::images_changed(root).ok().flatten();
        let mut kept = self.kept.lock();
        let current = kept.current && updated.is_ok();
        *kept = Kept { catalog, directory, current, changes: kept.changes + 1 };
    }

    /// Anything can have changed.
    pub(super) fn forget(&self) {
        let mut kept = self.kept.lock();
        kept.current = false;
        kept.changes += 1;
    }

    /// Looks whether somebody else has added or removed an image.
    pub(super) async fn look(&self) {
        let looked = self.reader.read(catalog::images_changed).await;
        let Ok(Ok(directory)) = looked else { return };
        let other = {
            let kept = self.kept.lock();
            kept.current && kept.directory != directory
        };
        if other {
            tracing::info!("the images in the volume were changed by somebody else; reading them again");
            self.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::testing::manifest;
    use std::fs;

    fn import(root: &Path, name: &str) {
        let dir = root.join("images").join(name);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(catalog::MANIFEST_FILE), serde_json::to_vec(&manifest(name)).unwrap()).unwrap();
    }

    async fn names(images: &HeadImages) -> Vec<String> {
        images.read().await.unwrap().iter().map(|manifest| manifest.name.to_string()).collect()
    }

    #[tokio::test]
    async fn what_the_task_changes_is_seen_and_nothing_is_read_where_nothing_changed() {
        let dir = tempfile::tempdir().unwrap();
        let images = HeadImages::new(dir.path());
        assert!(names(&images).await.is_empty());
        import(dir.path(), "debian");
        images.changed(dir.path(), &"debian".parse().unwrap());
        assert_eq!(names(&images).await, ["debian"]);
        // Nobody looks: a head that went away leaves what was read.
        fs::rename(dir.path().join("images"), dir.path().join("gone")).unwrap();
        assert_eq!(names(&images).await, ["debian"]);
        images.forget();
        assert!(names(&images).await.is_empty());
    }

    #[tokio::test]
    async fn what_somebody_else_changes_is_seen_once_it_was_looked() {
        let dir = tempfile::tempdir().unwrap();
        let images = HeadImages::new(dir.path());
        import(dir.path(), "debian");
        assert_eq!(names(&images).await, ["debian"]);
        images.look().await;
        assert!(images.kept.lock().current);
        fs::remove_dir_all(dir.path().join("images/debian")).unwrap();
        // Where the clock is coarse, the directory may look as it did.
        fs::File::open(dir.path().join("images")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        images.look().await;
        assert!(names(&images).await.is_empty());
    }
}
