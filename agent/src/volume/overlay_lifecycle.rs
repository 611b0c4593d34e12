//! Making overlays: image → view of the newest snapshot → base as registered → record → file; adopting one that is
//! there: view → record; and removing some, with their view if they are the last.
//!
//! Promises: what is asked for at the same time is made at the same time, so that all wait for the same writes to reach
//! the disk; of two requests for one path the second is left for later.

use super::overlays::{AdoptOverlayError, CreateOverlayError, Found, NotMade, OverlaySpec, Place};
use super::requests::{Create, Remove};
use super::{ViewError, Volume};
use bootstash_base::clock;
use bootstash_base::impersonate::UnixPeer;
use bootstash_base::names::{ImageName, SnapshotName};
use bootstash_delta::catalog;
use bootstash_net::api::{AdoptReply, OverlayOutcome, OverlayReply, OverlayView};
use bootstash_zfs::Removed;
use futures::future::join_all;
use std::collections::BTreeSet;
use std::path::Path;
use tokio::sync::oneshot;

type CreateReply = oneshot::Sender<Result<OverlayReply, CreateOverlayError>>;

/// What a group of overlays comes to.
#[derive(Default)]
struct Making {
    done: Vec<(CreateReply, Result<OverlayReply, CreateOverlayError>)>,
    to_make: Vec<(CreateReply, Place, OverlayView)>,
    /// For a path of which there is one before.
    left: Vec<Create>,
    /// Images whose bases were looked at.
    checked: BTreeSet<(SnapshotName, ImageName)>,
    /// Of which an overlay was not made.
    failed: BTreeSet<SnapshotName>,
}

impl Making {
    fn is_taken(&self, place: &Place) -> bool {
        self.to_make.iter().any(|(_, taken, _)| taken.path == place.path)
    }
}

impl Volume {
    /// Makes overlays, as far as the callers may, unless they are there. One on record whose file is gone is made anew; its
    /// view stays until a collection, as the file may have been moved. Gives those that are left for later.
    pub(super) async fn create_overlays(&mut self, group: Vec<Create>) -> Vec<Create> {
        let looks = group.iter().map(|create| self.overlays.look_for(create.by, &create.spec));
        let found = join_all(looks).await;
        let mut making = Making::default();
        for (create, found) in group.into_iter().zip(found) {
            self.make_ready(create, found, &mut making).await;
        }
        self.make(&mut making).await;
        for snapshot in &making.failed {
            self.try_drop_view(snapshot).await;
        }
        self.publish();
        for (reply, done) in making.done {
            drop(reply.send(done));
        }
        making.left
    }

    async fn make_ready(
        &mut self,
        create: Create,
        found: Result<Found, CreateOverlayError>,
        making: &mut Making,
    ) {
        let place = match found {
            Ok(Found::Free(place)) if making.is_taken(&place) => return making.left.push(create),
            Ok(Found::Free(place)) => place,
            Ok(Found::Made(lease)) => {
                let kept = match self.ensure_view(&lease.overlay.snapshot).await {
                    Ok(_) => self.overlays.keep(*lease).await,
                    Err(error) => Err(error.into()),
                };
                return making.done.push((create.reply, kept));
            }
            Err(error) => return making.done.push((create.reply, Err(error))),
        };
        let Some(snapshot) = self.generations.head().map(|head| head.name.clone()) else {
            return making.done.push((create.reply, Err(CreateOverlayError::Empty)));
        };
        match self.chain_onto(&snapshot, &create.spec, &place, &mut making.checked).await {
            Ok(overlay) => making.to_make.push((create.reply, place, overlay)),
            Err(error) => {
                making.failed.insert(snapshot);
                making.done.push((create.reply, Err(error)));
            }
        }
    }

    /// The overlay as it is to be.
    async fn chain_onto(
        &mut self,
        snapshot: &SnapshotName,
        spec: &OverlaySpec,
        place: &Place,
        checked: &mut BTreeSet<(SnapshotName, ImageName)>,
    ) -> Result<OverlayView, CreateOverlayError> {
        let root = self.ensure_view(snapshot).await?;
        let manifest = self.manifest(&root, snapshot, &spec.image).await?;
        let base_of = (snapshot.clone(), spec.image.clone());
        if !checked.contains(&base_of) {
            self.overlays.check_base(&manifest).await?;
            checked.insert(base_of);
        }
        Ok(OverlayView {
            path: place.path.clone(),
            image: spec.image.clone(),
            snapshot: snapshot.clone(),
            cache: catalog::cache_path(&root, &spec.image),
            virtual_size_bytes: spec.virtual_size_bytes(manifest.source.virtual_size_bytes)?,
            created: clock::now(),
            firmware: Some(manifest.source.firmware),
        })
    }

    async fn make(&mut self, making: &mut Making) {
        let to_make = std::mem::take(&mut making.to_make);
        let overlays = &self.overlays;
        let made = to_make.into_iter().map(|(reply, place, overlay)| async move {
            let snapshot = overlay.snapshot.clone();
            (reply, snapshot, overlays.make(place, overlay).await)
        });
        for (reply, snapshot, made) in join_all(made).await {
            let done = match made {
                Ok(lease) => {
                    let overlay = lease.overlay.clone();
                    self.overlays.note(lease);
                    Ok(OverlayReply { overlay, outcome: OverlayOutcome::Created })
                }
                Err(NotMade { error, record }) => {
                    self.overlays.note_not_made(record);
                    making.failed.insert(snapshot);
                    Err(error)
                }
            };
            making.done.push((reply, done));
        }
    }

    /// Takes on the overlay at `given`, which another node made, or a copy. Where its snapshot is still on its way,
    /// its view is made when that is here.
    pub(super) async fn adopt_overlay(
        &mut self,
        by: UnixPeer,
        given: &Path,
    ) -> Result<AdoptReply, AdoptOverlayError> {
        let lease = self.overlays.read(by, given).await?;
        let overlay = lease.overlay.clone();
        let awaits_snapshot = self.is_to_come(&overlay.snapshot);
        if !awaits_snapshot {
            self.ensure_view(&overlay.snapshot).await.map_err(|error| match error {
                ViewError::Missing { snapshot } => {
                    let (path, remedy) = (overlay.path.clone(), self.remedy(&overlay));
                    AdoptOverlayError::Gone { path, snapshot, remedy }
                }
                other => other.into(),
            })?;
        }
        let recorded = self.overlays.record(lease).await;
        if recorded.is_err() {
            self.try_drop_view(&overlay.snapshot).await;
        }
        Ok(AdoptReply { adopted: recorded?, overlay, awaits_snapshot })
    }

    /// Removes overlays, as far as the callers may, then the views nobody needs any more. Gives those that are left for later.
    pub(super) async fn remove_overlays(&mut self, group: Vec<Remove>) -> Vec<Remove> {
        let paths =
            join_all(group.iter().map(|remove| self.overlays.real_path(remove.by, &remove.path))).await;
        let (mut taken, mut to_remove, mut left, mut done) =
            (BTreeSet::new(), Vec::new(), Vec::new(), Vec::new());
        for (remove, path) in group.into_iter().zip(paths) {
            match path {
                Ok(path) if taken.insert(path.clone()) => to_remove.push((remove, path)),
                Ok(_) => left.push(remove),
                Err(error) => done.push((remove.reply, Err(error))),
            }
        }
        let overlays = &self.overlays;
        let removing = to_remove.into_iter().map(|(remove, path)| async move {
            let removed = overlays.remove(remove.by, &path).await;
            (remove.reply, path, removed)
        });
        let mut idle = BTreeSet::new();
        for (reply, path, removed) in join_all(removing).await {
            if let Ok(Some(snapshot)) = &removed {
                self.overlays.forget(&path);
                idle.insert(snapshot.clone());
            }
            done.push((
                reply,
                removed.map(|it| if it.is_some() { Removed::Removed } else { Removed::Unchanged }),
            ));
        }
        self.drop_idle(&idle).await;
        self.publish();
        for (reply, removed) in done {
            drop(reply.send(removed));
        }
        left
    }

    /// Drops those of these views that no overlay needs any more, and then volumes that none of them stand on.
    async fn drop_idle(&mut self, views: &BTreeSet<SnapshotName>) {
        for snapshot in views {
            self.try_drop_view(snapshot).await;
        }
        if !views.is_empty() {
            self.generations.drop_replaced().await;
        }
    }
}
