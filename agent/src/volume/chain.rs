//! Making an overlay: image → view of the newest snapshot → base as registered → record → file.

use super::catalog::read_off_thread;
use super::lease::{Lease, Stage};
use super::{CreateOverlayError, Volume, path};
use bootstash::api::OverlayView;
use bootstash::catalog::{self, BaseReadError, Manifest};
use bootstash::clock;
use bootstash::lifecycle::{KillPoint, kill_point};
use bootstash::names::{ImageName, SnapshotName};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the storage of a base may take to say what it has.
const BASE_DEADLINE: Duration = Duration::from_secs(20);

impl Volume {
    /// Makes an overlay of `image` at `given`.
    pub(super) async fn create_overlay(
        &mut self,
        image: &ImageName,
        given: &Path,
    ) -> Result<OverlayView, CreateOverlayError> {
        let path = self.free_path(given)?;
        let snapshot = self.head().ok_or(CreateOverlayError::Empty)?.name.clone();
        let made = self.chain_onto(&snapshot, image, path).await;
        if made.is_err() {
            self.try_drop_view(&snapshot).await;
        }
        made
    }

    fn free_path(&self, given: &Path) -> Result<PathBuf, CreateOverlayError> {
        let path =
            path::resolved(given).ok_or_else(|| CreateOverlayError::Path { path: given.to_owned() })?;
        if path.symlink_metadata().is_ok() {
            return Err(CreateOverlayError::Exists { path });
        }
        if let Some(lease) = self.leases.get(&path) {
            return Err(CreateOverlayError::Recorded { image: lease.overlay.image.clone(), path });
        }
        if !path.parent().is_some_and(Path::is_dir) {
            return Err(CreateOverlayError::NoDirectory { path });
        }
        Ok(path)
    }

    async fn chain_onto(
        &mut self,
        snapshot: &SnapshotName,
        image: &ImageName,
        path: PathBuf,
    ) -> Result<OverlayView, CreateOverlayError> {
        let root = self.ensure_view(snapshot).await?;
        let wanted = image.clone();
        let manifest =
            read_off_thread(root.clone(), move |root| catalog::read_manifest(root, &wanted)).await?;
        let manifest = check_base_in_time(manifest).await?;
        let overlay = OverlayView {
            path,
            image: image.clone(),
            snapshot: snapshot.clone(),
            cache: catalog::cache_path(&root, image),
            virtual_size_bytes: manifest.source.virtual_size_bytes,
            created: clock::now(),
        };
        self.make(overlay).await
    }

    /// The record first: a view without a record is dropped at the next start, under the VM.
    async fn make(&mut self, overlay: OverlayView) -> Result<OverlayView, CreateOverlayError> {
        self.leases.put(Lease { stage: Stage::Intended, overlay: overlay.clone() })?;
        kill_point(KillPoint::OverlayIntended);
        let made = self.overlays.create(&overlay.path, &overlay.cache, overlay.virtual_size_bytes).await;
        if let Err(error) = made {
            self.leases.remove(&overlay.path)?;
            return Err(error.into());
        }
        kill_point(KillPoint::OverlayCreated);
        if let Err(error) = self.leases.put(Lease { stage: Stage::Made, overlay: overlay.clone() }) {
            // Whoever asked is told that it failed, and will not look for a file.
            drop(std::fs::remove_file(&overlay.path));
            self.leases.remove(&overlay.path)?;
            return Err(error.into());
        }
        kill_point(KillPoint::OverlayMade);
        tracing::info!(
            "made overlay {} of {} on {}",
            overlay.path.display(),
            overlay.image,
            overlay.snapshot
        );
        Ok(overlay)
    }
}

/// Shared storage can hang; the volume's task does not wait with it.
async fn check_base_in_time(manifest: Manifest) -> Result<Manifest, CreateOverlayError> {
    let (image, path) = (manifest.name.clone(), manifest.source.path.clone());
    let check = tokio::task::spawn_blocking(move || check_base(&manifest).map(|()| manifest));
    match tokio::time::timeout(BASE_DEADLINE, check).await {
        Ok(Ok(checked)) => checked,
        late_or_broken => {
            let why = late_or_broken.map_or("its storage does not answer", |_| "looking at it broke off");
            let source = BaseReadError::Io { path, source: io::Error::other(why) };
            Err(CreateOverlayError::Base { image, source })
        }
    }
}

/// Refuses a base that is not what was registered. Looks at it without reading it.
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
