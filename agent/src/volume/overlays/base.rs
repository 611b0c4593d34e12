//! Whether the base of an image is what was registered.

use super::{CreateOverlayError, Overlays};
use bootstash_base::mount_table::MountTable;
use bootstash_delta::catalog::Manifest;
use bootstash_disk::BaseReadError;
use std::io;
use std::time::Duration;
use tokio::time::Instant;

/// How long the storage of a base may take to say what it has.
const BASE_DEADLINE: Duration = Duration::from_secs(20);

impl Overlays {
    /// Refuses a base that is not what was registered, and one whose storage does not answer in time.
    ///
    /// # Errors
    /// See [`CreateOverlayError`].
    pub(in crate::volume) async fn check_base(
        &self,
        manifest: Manifest,
    ) -> Result<Manifest, CreateOverlayError> {
        let (image, path) = (manifest.name.clone(), manifest.source.path.clone());
        let (at, until) = (MountTable::read().mount_point_of(&path), Instant::now() + BASE_DEADLINE);
        let checked = self.storage.ask(&at, until, move || check_base(&manifest).map(|()| manifest)).await;
        checked.unwrap_or_else(|| {
            let source = io::Error::other("its storage does not answer");
            Err(CreateOverlayError::Base { image, source: BaseReadError::Io { path, source } })
        })
    }
}

/// Refuses a base that is not what was registered. Looks at it without reading it. Blocks.
fn check_base(manifest: &Manifest) -> Result<(), CreateOverlayError> {
    let (image, source) = (&manifest.name, &manifest.source);
    let unreadable = |source| CreateOverlayError::Base { image: image.clone(), source };
    if source.identity.matches(&source.path).map_err(unreadable)? {
        return Ok(());
    }
    let change = change_of(manifest).map_err(unreadable)?;
    Err(CreateOverlayError::BaseChanged { image: image.clone(), path: source.path.clone(), change })
}

fn change_of(manifest: &Manifest) -> Result<String, BaseReadError> {
    let source = &manifest.source;
    let now = std::fs::metadata(&source.path)
        .map_err(|error| BaseReadError::Io { path: source.path.clone(), source: error })?
        .len();
    Ok(match source.identity.size_bytes {
        then if then != now => format!("it was {then} bytes long and is {now}"),
        _ => "its modification time is another".to_owned(),
    })
}
