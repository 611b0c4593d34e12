//! The views that overlays chain onto: made and mounted while one needs them, and dropped with the last.
//!
//! A ZFS that died and came back has mounted nothing, and a view can be destroyed by hand: what overlays need is
//! brought back while the agent runs. What a VM had open is lost then; one that starts finds its cache again, with the
//! same bytes.

use super::{ViewError, Volume};
use bootstash_base::error::Chain;
use bootstash_base::names::SnapshotName;
use bootstash_base::quoted_path::shown;
use bootstash_delta::catalog::Catalog;
use bootstash_net::api::OverlayView;
use bootstash_zfs::Made;
use std::path::{Path, PathBuf};

impl Volume {
    /// The mounted view of a snapshot, made or mounted where it is not.
    pub(super) async fn ensure_view(&mut self, snapshot: &SnapshotName) -> Result<PathBuf, ViewError> {
        Ok(self.ensure_view_made(snapshot).await?.0)
    }

    async fn ensure_view_made(&mut self, snapshot: &SnapshotName) -> Result<(PathBuf, Made), ViewError> {
        let datasets = self.generations.datasets_with(snapshot)?;
        let ensured = self.views.ensure(snapshot, &datasets).await;
        match ensured {
            Err(error) if error.is_missing() && self.generations.have(snapshot) => {
                // What is known of the volume is not what is there.
                self.look_at_generations().await;
                Err(ViewError::Gone { snapshot: snapshot.clone() })
            }
            ensured => ensured,
        }
    }

    /// The mounted view that overlays chain onto. Of which volume it is was settled when it was made: where two have
    /// snapshots of that name, the one that is there is the right one, and only another cannot be made.
    async fn ensure_view_in_use(&mut self, snapshot: &SnapshotName) -> Result<Made, ViewError> {
        match self.ensure_view_made(snapshot).await {
            Err(ViewError::Ambiguous { .. }) if self.views.present().contains(snapshot) => {
                self.views.mount(snapshot).await
            }
            ensured => ensured.map(|(_, made)| made),
        }
    }

    /// Brings back those that overlays chain onto and that are not at their place. Whether anything changed.
    pub(super) async fn check_views(&mut self) -> bool {
        let mut changed = false;
        let before = self.unmounted_views();
        for (snapshot, overlays) in self.overlays.count_by_snapshot() {
            if self.is_awaited(&snapshot) || self.views.is_at_its_place(&snapshot).await {
                continue;
            }
            let outcome = self.ensure_view_in_use(&snapshot).await;
            if self.views.report_brought_back(&snapshot, overlays, &outcome) {
                changed = true;
                self.report_lost_caches(self.overlays.recorded().filter(|it| it.snapshot == snapshot));
            }
        }
        changed || before != self.unmounted_views()
    }

    /// Those that overlays need and that are not at their place.
    pub(super) fn unmounted_views(&self) -> Vec<SnapshotName> {
        let unmounted = self.views.unmounted().filter(|snapshot| self.overlays.need_view(snapshot));
        unmounted.cloned().collect()
    }

    /// Asks ZFS for the volumes anew, unless it receives, and says what of the newest is gone. Whether anything changed.
    pub(super) async fn look_at_generations(&mut self) -> bool {
        if self.generations.are_receiving() {
            return false;
        }
        let before = self.generations.snapshots().to_vec();
        if let Err(error) = self.generations.refresh().await {
            tracing::debug!("cannot look at the volumes: {}", Chain(&error));
            return false;
        }
        let now = self.generations.snapshots();
        if let Some(newest) = before.last().filter(|newest| !now.iter().any(|it| it.guid == newest.guid)) {
            tracing::warn!(
                "{}, the newest snapshot of this node's volume, was destroyed by hand",
                newest.name
            );
        }
        before != now
    }

    /// Removes the view of a snapshot unless an overlay chains onto it, or may.
    pub(super) async fn drop_view_unless_used(&mut self, snapshot: &SnapshotName) -> Result<(), ViewError> {
        match self.overlays.need_view(snapshot) {
            true => Ok(()),
            false => self.views.destroy(snapshot).await,
        }
    }

    /// As [`Self::drop_view_unless_used`], where the view going later does no harm.
    pub(super) async fn try_drop_view(&mut self, snapshot: &SnapshotName) {
        if !self.overlays.need_view(snapshot) {
            self.views.try_destroy(snapshot).await;
        }
    }

    /// After a start: mounts the views that overlays chain onto, and drops the others. ZFS may not
    /// have mounted them (zfs-fuse never does), and a crash can leave one that nobody uses.
    pub(super) async fn restore_views(&mut self) {
        self.views.drop_set_aside().await;
        let leaked = self.views.present().iter().filter(|view| !self.overlays.need_view(view));
        let leaked: Vec<_> = leaked.cloned().collect();
        for snapshot in leaked {
            tracing::info!("dropping view {snapshot}, which no overlay needs");
            self.try_drop_view(&snapshot).await;
        }
        for (snapshot, overlays) in self.overlays.count_by_snapshot() {
            self.restore_view(&snapshot, overlays).await;
        }
    }

    /// Mounts a view that overlays chain onto; makes it anew if its snapshot is still there.
    pub(super) async fn restore_view(&mut self, snapshot: &SnapshotName, overlays: usize) {
        match self.ensure_view_in_use(snapshot).await {
            Ok(_) => self.views.note_mounted(snapshot),
            // What to do about each of them is told once the images are known.
            Err(error) if error.is_missing() => self.views.note_reported(snapshot),
            Err(error) => {
                self.views.note_reported(snapshot);
                tracing::error!(
                    "cannot mount view {snapshot}, which {overlays} overlays chain onto; their VMs cannot start: {}",
                    Chain(&error)
                );
            }
        }
    }

    /// Makes the views of overlays that were adopted before their snapshot was here.
    pub(super) async fn restore_awaited_views(&mut self) {
        let mut awaited = self.overlays.count_by_snapshot();
        awaited.retain(|snapshot, _| {
            !self.views.present().contains(snapshot) && self.generations.have(snapshot)
        });
        for (snapshot, overlays) in awaited {
            self.restore_view(&snapshot, overlays).await;
        }
    }

    /// Whether a snapshot is newer than all that are here: another node has it already.
    pub(super) fn is_to_come(&self, snapshot: &SnapshotName) -> bool {
        let is_newer =
            |head: &SnapshotName| head.number() < snapshot.number() && head.taken() <= snapshot.taken();
        let head = self.generations.head();
        head.is_none_or(|head| is_newer(&head.name)) && !self.generations.have(snapshot)
    }

    /// Whether an overlay was adopted before its snapshot was ever here.
    pub(super) fn is_awaited(&self, snapshot: &SnapshotName) -> bool {
        !self.views.present().contains(snapshot) && self.is_to_come(snapshot)
    }

    /// Tells of each overlay whose view is gone and cannot be made anew. Its disk is whole all the same:
    /// a boot cache has no byte that the image has not.
    pub(super) fn report_lost_caches<'a>(&self, overlays: impl IntoIterator<Item = &'a OverlayView>) {
        for overlay in overlays {
            let snapshot = &overlay.snapshot;
            if self.views.present().contains(snapshot) || self.generations.have(snapshot) {
                continue;
            }
            tracing::error!(
                "the boot cache of overlay {} is gone with snapshot {snapshot}, and its VM cannot start on this node; \
                 chain it onto the image itself: {}",
                shown(&overlay.path),
                self.remedy(overlay)
            );
        }
    }

    pub(super) fn remedy(&self, overlay: &OverlayView) -> String {
        remedy(&self.images, overlay)
    }
}

/// What to type to chain an overlay onto its image itself.
pub(super) fn remedy(images: &Catalog, overlay: &OverlayView) -> String {
    let source = images.get(&overlay.image).map(|it| &it.source);
    let (base, format) = match source {
        Some(source) => (source.path.display().to_string(), source.format.to_string()),
        None => (format!("FILE-OF-{}", overlay.image), "FORMAT".to_owned()),
    };
    format!("qemu-img rebase -u -b '{base}' -F {format} {}", shell_word(&overlay.path))
}

/// A path to paste into a command line.
fn shell_word(path: &Path) -> String {
    let text = shown(path);
    if text.starts_with("$'") { text.into_owned() } else { format!("'{text}'") }
}
