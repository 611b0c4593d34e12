//! Making an overlay: image → view of the newest snapshot → base as registered → record → file.

use super::catalog::read_off_thread;
use super::lease::{Lease, Stage};
use super::mount_table::MountTable;
use super::{CreateOverlayError, Volume, canonical_path, file_state};
use bootstash_base::clock;
use bootstash_base::impersonate::{ActAs, UnixPeer};
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::names::{ImageName, SnapshotName};
use bootstash_delta::catalog;
use bootstash_delta::catalog::Manifest;
use bootstash_disk::BaseReadError;
use bootstash_net::api::OverlayView;
use bootstash_qemu::OverlayError;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// How long the storage of a base may take to say what it has.
const BASE_DEADLINE: Duration = Duration::from_secs(20);

/// How long the storage of an overlay may take to say whether there is room for it.
const PLACE_DEADLINE: Duration = Duration::from_secs(10);

/// Where an overlay is to be, and with whose rights it is made.
struct Place {
    act_as: ActAs,
    path: PathBuf,
    mount_point: PathBuf,
}

impl Volume {
    /// Makes an overlay of `image` at `given`, as far as the caller may.
    pub(super) async fn create_overlay(
        &mut self,
        by: UnixPeer,
        image: &ImageName,
        given: &Path,
    ) -> Result<OverlayView, CreateOverlayError> {
        let place = self.free_place(by, given).await?;
        let snapshot = self.head().ok_or(CreateOverlayError::Empty)?.name.clone();
        let made = self.chain_onto(&snapshot, image, place).await;
        if made.is_err() {
            self.try_drop_view(&snapshot).await;
        }
        made
    }

    async fn free_place(&self, by: UnixPeer, given: &Path) -> Result<Place, CreateOverlayError> {
        let (at, path) = (MountTable::read().mount_point_of(given), given.to_owned());
        let place = self.storage.ask(&at, Instant::now() + PLACE_DEADLINE, move || look_for_place(by, &path));
        let place =
            place.await.ok_or_else(|| CreateOverlayError::Unresponsive { path: given.to_owned() })??;
        match self.leases.get(&place.path) {
            Some(lease) => {
                Err(CreateOverlayError::Recorded { image: lease.overlay.image.clone(), path: place.path })
            }
            None => Ok(place),
        }
    }

    async fn chain_onto(
        &mut self,
        snapshot: &SnapshotName,
        image: &ImageName,
        place: Place,
    ) -> Result<OverlayView, CreateOverlayError> {
        let root = self.ensure_view(snapshot).await?;
        let wanted = image.clone();
        let manifest =
            read_off_thread(root.clone(), move |root| catalog::read_manifest(root, &wanted)).await?;
        let manifest = check_base_in_time(manifest).await?;
        let overlay = OverlayView {
            path: place.path,
            image: image.clone(),
            snapshot: snapshot.clone(),
            cache: catalog::cache_path(&root, image),
            virtual_size_bytes: manifest.source.virtual_size_bytes,
            created: clock::now(),
        };
        let mount_point = Some(place.mount_point);
        let intended = Lease { stage: Stage::Intended, overlay, mount_point, missing_since: None };
        self.make(&place.act_as, intended).await
    }

    /// The record first: a view without a record is dropped at the next start, under the VM.
    async fn make(&mut self, act_as: &ActAs, intended: Lease) -> Result<OverlayView, CreateOverlayError> {
        self.leases.put(intended.clone())?;
        kill_point(KillPoint::OverlayIntended);
        let overlay = intended.overlay.clone();
        let (path, size) = (&overlay.path, overlay.virtual_size_bytes);
        if let Err(error) = self.overlays.create(act_as, path, &overlay.cache, size).await {
            self.leases.remove(path)?;
            return Err(not_made(error, act_as));
        }
        kill_point(KillPoint::OverlayCreated);
        if let Err(error) = self.leases.put(Lease { stage: Stage::Made, ..intended }) {
            // Whoever asked is told that it failed, and will not look for a file.
            drop(act_as.act(|| std::fs::remove_file(&overlay.path)));
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

/// With the caller's act_as: what the caller cannot see is not told either. Blocks.
fn look_for_place(by: UnixPeer, given: &Path) -> Result<Place, CreateOverlayError> {
    let unknown = |source| CreateOverlayError::Rights { source };
    let act_as = by.act_as().map_err(unknown)?;
    let (path, mount_point) = act_as.act(|| look(given)).map_err(unknown)??;
    Ok(Place { act_as, path, mount_point })
}

/// The path without links, and where its storage is mounted.
fn look(given: &Path) -> Result<(PathBuf, PathBuf), CreateOverlayError> {
    let path = canonical_path::canonical(given)
        .ok_or_else(|| CreateOverlayError::Path { path: given.to_owned() })?;
    if path.symlink_metadata().is_ok() {
        return Err(CreateOverlayError::Exists { path });
    }
    let directory = path.parent().filter(|directory| directory.is_dir());
    match directory.and_then(|directory| file_state::mount_point(directory).ok()) {
        Some(mount_point) => Ok((path, mount_point)),
        None => Err(CreateOverlayError::NoDirectory { path }),
    }
}

/// The same words, whichever call the kernel refused a user.
fn not_made(error: OverlayError, act_as: &ActAs) -> CreateOverlayError {
    match (error, act_as) {
        (OverlayError::Io { path, source }, ActAs::Of(user))
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            CreateOverlayError::NotAllowed { user: user.clone(), path }
        }
        (error, _) => error.into(),
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
