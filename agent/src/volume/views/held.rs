//! Views that somebody holds: a process that was started while one was mounted can keep that mount where nobody else
//! sees it, in a mount namespace of its own. zfs-fuse then mounts the view no more, and does not destroy it either.
//!
//! Another clone of the same snapshot takes its place, under another name and at the same path: for whoever reads it,
//! they are the same.

use super::Views;
use bootstash_base::error::Chain;
use bootstash_base::mount_table::DeviceNumber;
use bootstash_base::names::{DatasetName, NameError, SnapshotName};
use std::collections::BTreeSet;

/// More than ever were held, and a bound all the same.
const MOST_OF_A_SNAPSHOT: u32 = 100;

/// A view that nobody needs, or that another has taken the place of, and that is in use all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldView {
    /// The file system.
    pub dataset: DatasetName,
    /// What it was mounted as, where that is known.
    pub device: Option<DeviceNumber>,
}

impl Views {
    /// Takes note of a view that is there. Of several of one snapshot the last counts.
    pub(super) fn note(&mut self, name: DatasetName, snapshot: SnapshotName, number: u32) {
        let noted = self.present.contains(&snapshot).then(|| self.number(&snapshot));
        if noted.is_some_and(|noted| noted > number) {
            self.set_aside.insert(name);
            return;
        }
        if let Some(Ok(before)) = noted.map(|noted| self.layout.numbered_view(&snapshot, noted)) {
            self.set_aside.insert(before);
        }
        self.numbers.insert(snapshot.clone(), number);
        self.present.insert(snapshot);
    }

    fn number(&self, snapshot: &SnapshotName) -> u32 {
        self.numbers.get(snapshot).copied().unwrap_or(1)
    }

    /// The file system that is, or will be, the view of a snapshot.
    pub(super) fn name(&self, snapshot: &SnapshotName) -> Result<DatasetName, NameError> {
        self.layout.numbered_view(snapshot, self.number(snapshot))
    }

    pub(super) fn may_have_another(&self, snapshot: &SnapshotName) -> bool {
        self.number(snapshot) < MOST_OF_A_SNAPSHOT
    }

    /// The next one is to be the view of a snapshot, in place of `held`.
    pub(super) fn set_aside(&mut self, snapshot: &SnapshotName, held: DatasetName) {
        tracing::warn!(
            "{held} cannot be mounted, as a process holds an earlier mount of it (`bootstash status` \
            names it); another view of the same snapshot takes its place"
        );
        self.numbers.insert(snapshot.clone(), self.number(snapshot) + 1);
        self.ensured.remove(&held);
        self.set_aside.insert(held);
    }

    /// Destroys those that another took the place of and that nobody holds any more.
    pub(in crate::volume) async fn drop_set_aside(&mut self) {
        for name in self.set_aside.clone() {
            match self.zfs.destroy(&name).await {
                Ok(_) => {
                    tracing::info!("dropped {name}, which nobody holds any more");
                    self.set_aside.remove(&name);
                    self.devices.remove(&name);
                }
                Err(error) => tracing::debug!("{name} stays for now: {}", Chain(&error)),
            }
        }
    }

    /// Those that are in use though none of the `needed` ones, and those that another has taken the place of.
    pub(in crate::volume) fn held(&self, needed: impl Fn(&SnapshotName) -> bool) -> Vec<HeldView> {
        let idle = self.reported_in_use.iter().filter(|snapshot| !needed(snapshot));
        let idle = idle.filter_map(|snapshot| self.name(snapshot).ok());
        let all: BTreeSet<_> = idle.chain(self.set_aside.iter().cloned()).collect();
        all.into_iter()
            .map(|dataset| HeldView { device: self.devices.get(&dataset).copied(), dataset })
            .collect()
    }
}
