//! Reading which images the newest snapshot holds.

use super::{Stopping, ViewError, Volume};
use bootstash_base::error::Classified;
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::names::{ImageName, SnapshotName};
use bootstash_delta::catalog::{self, Catalog, CatalogError, Manifest};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::time::Instant;

/// How long ZFS may take to hand out the manifests in a view; some thousand small files, with others at work.
const READ_DEADLINE: Duration = Duration::from_secs(120);
/// Images that overlays are made of again and again; were there more, some are read anew.
const MOST_MANIFESTS: usize = 64;

/// The images of a snapshot could not be read.
#[derive(Debug, Error, Classified)]
pub enum CatalogReadError {
    /// Its view.
    #[error(transparent)]
    #[class(source)]
    View(#[from] ViewError),
    /// Its files.
    #[error(transparent)]
    #[class(source)]
    Catalog(#[from] CatalogError),
    /// The agent stops.
    #[error(transparent)]
    #[class(cancelled)]
    Stopping(#[from] Stopping),
}

/// Manifests that were read of one snapshot, in which they do not change, with the samples of their bases.
#[derive(Debug, Default)]
pub(super) struct Manifests {
    of: Option<SnapshotName>,
    known: BTreeMap<ImageName, Arc<Manifest>>,
}

impl Manifests {
    fn get(&self, of: &SnapshotName, image: &ImageName) -> Option<Arc<Manifest>> {
        self.known.get(image).filter(|_| self.of.as_ref() == Some(of)).cloned()
    }

    fn keep(&mut self, of: &SnapshotName, manifest: &Arc<Manifest>) {
        if self.of.as_ref() != Some(of) || self.known.len() >= MOST_MANIFESTS {
            (self.of, self.known) = (Some(of.clone()), BTreeMap::new());
        }
        self.known.insert(manifest.name.clone(), Arc::clone(manifest));
    }
}

impl Volume {
    /// That of an image in the view at `root`.
    pub(super) async fn manifest(
        &mut self,
        root: &Path,
        of: &SnapshotName,
        image: &ImageName,
    ) -> Result<Arc<Manifest>, CatalogError> {
        if let Some(known) = self.manifests.get(of, image) {
            return Ok(known);
        }
        let wanted = image.clone();
        let read = self.read_view(root.to_owned(), move |root| catalog::read_manifest(root, &wanted)).await?;
        let manifest = Arc::new(read);
        self.manifests.keep(of, &manifest);
        Ok(manifest)
    }

    /// Reads the images of the newest snapshot, through its view, once: the volume itself is never mounted.
    pub(super) async fn read_catalog(&mut self) -> Result<(), CatalogReadError> {
        let Some(head) = self.generations.head().map(|head| head.name.clone()) else {
            (self.images, self.images_of) = (Catalog::default(), None);
            return Ok(());
        };
        if self.images_of.as_ref() == Some(&head) {
            return Ok(());
        }
        let images = self.images_of(&head).await;
        kill_point(KillPoint::CatalogRead);
        self.try_drop_view(&head).await;
        (self.images, self.images_of) = (images?, Some(head));
        Ok(())
    }

    async fn images_of(&mut self, snapshot: &SnapshotName) -> Result<Catalog, CatalogReadError> {
        let root = self.ensure_view(snapshot).await?;
        let known = self.images.clone();
        Ok(self.read_view(root, move |root| known.updated(root, &|path: &Path| std::fs::read(path))).await?)
    }

    /// What `read` makes of a mounted view. A ZFS that hangs holds one thread and not the volume's task.
    pub(super) async fn read_view<T: Send + 'static>(
        &self,
        root: PathBuf,
        read: impl FnOnce(&Path) -> Result<T, CatalogError> + Send + 'static,
    ) -> Result<T, CatalogError> {
        let (path, at, until) = (root.clone(), root.clone(), Instant::now() + READ_DEADLINE);
        let done = self.storage.ask(&at, until, move || read(&root)).await;
        done.unwrap_or_else(|| {
            Err(CatalogError::Io { path, source: io::Error::other("ZFS does not answer") })
        })
    }
}
