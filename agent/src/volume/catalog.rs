//! Reading which images the newest snapshot holds.

use super::{Stopping, ViewError, Volume};
use bootstash_base::error::Classified;
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::names::SnapshotName;
use bootstash_delta::catalog;
use bootstash_delta::catalog::{CatalogError, Manifest};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

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

impl Volume {
    /// Reads the images of the newest snapshot, through its view: the volume itself is never mounted.
    pub(super) async fn read_catalog(&mut self) -> Result<(), CatalogReadError> {
        let Some(head) = self.generations.head().map(|head| head.name.clone()) else {
            self.images = Arc::default();
            return Ok(());
        };
        let images = self.images_of(&head).await;
        kill_point(KillPoint::CatalogRead);
        self.try_drop_view(&head).await;
        self.images = Arc::new(images?);
        Ok(())
    }

    async fn images_of(&mut self, snapshot: &SnapshotName) -> Result<Vec<Manifest>, CatalogReadError> {
        let root = self.ensure_view(snapshot).await?;
        Ok(read_off_thread(root, catalog::read_all).await?)
    }
}

/// Runs `read` where it may block: on a view, that is on ZFS.
pub(super) async fn read_off_thread<T: Send + 'static>(
    root: PathBuf,
    read: impl FnOnce(&Path) -> Result<T, CatalogError> + Send + 'static,
) -> Result<T, CatalogError> {
    let path = root.clone();
    match tokio::task::spawn_blocking(move || read(&root)).await {
        Ok(result) => result,
        Err(lost) => Err(CatalogError::Io { path, source: std::io::Error::other(lost) }),
    }
}
