//! The views that overlays chain onto: made and mounted while one needs them, and dropped with the last.

use super::{ViewError, Volume};
use bootstash_base::error::Chain;
use bootstash_base::names::SnapshotName;
use bootstash_net::api::OverlayView;
use std::path::PathBuf;

impl Volume {
    /// The mounted view of a snapshot, made or mounted where it is not.
    pub(super) async fn ensure_view(&mut self, snapshot: &SnapshotName) -> Result<PathBuf, ViewError> {
        let datasets = self.generations.datasets_with(snapshot)?;
        self.views.ensure(snapshot, &datasets).await
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
        match self.ensure_view(snapshot).await {
            // What to do about each of them is told once the images are known.
            Ok(_) | Err(ViewError::Missing { .. }) => (),
            Err(error) => tracing::error!(
                "cannot mount view {snapshot}, which {overlays} overlays chain onto; their VMs cannot start: {}",
                Chain(&error)
            ),
        }
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
                overlay.path.display(),
                self.remedy(overlay)
            );
        }
    }

    fn remedy(&self, overlay: &OverlayView) -> String {
        let source = self.images.get(&overlay.image).map(|it| &it.source);
        let (base, format) = match source {
            Some(source) => (source.path.display().to_string(), source.format.to_string()),
            None => (format!("FILE-OF-{}", overlay.image), "FORMAT".to_owned()),
        };
        format!("qemu-img rebase -u -b '{base}' -F {format} '{}'", overlay.path.display())
    }
}
