//! What an operator or another process does to file systems behind bootstash's back, for tests.

use super::FakeZfs;
use bootstash_base::names::DatasetName;
use std::path::Path;

impl FakeZfs {
    /// Whether somebody holds a mount of a file system that nobody else sees: it can be unmounted then,
    /// and neither mounted again nor destroyed, as on zfs-fuse.
    pub fn set_held(&self, name: &DatasetName, held: bool) {
        let all = &mut self.state().held;
        let _ = if held { all.insert(name.clone()) } else { all.remove(name) };
    }

    /// Mounts a file system elsewhere behind everybody's back, as `zfs set mountpoint` does.
    ///
    /// # Errors
    /// When a folder cannot be written.
    pub fn move_mount(&self, name: &DatasetName, to: &Path) -> std::io::Result<()> {
        let mut state = self.state();
        state.file_systems.get_mut(name).map_or(Ok(()), |found| found.mount_at(to))
    }

    /// Brings a file system back to its newest snapshot, as `zfs rollback` does.
    ///
    /// # Errors
    /// When a folder cannot be written.
    pub fn roll_back(&self, name: &DatasetName) -> std::io::Result<()> {
        let mut state = self.state();
        let Some(found) = state.file_systems.get_mut(name) else { return Ok(()) };
        let newest = found.taken.last().map(|newest| newest.tree.clone());
        found.set_current(newest.unwrap_or_default())
    }

    /// Makes a root one of before owners were noted.
    pub fn forget_owner(&self, name: &DatasetName) {
        if let Some(found) = self.state().file_systems.get_mut(name) {
            found.owner = None;
        }
    }

    /// Takes a snapshot under a name that is not one of ours, as an operator might.
    pub fn take_foreign_snapshot(&self, of: &DatasetName, name: &str) {
        self.state().foreign_snapshots.insert(of.clone(), name.to_owned());
    }

    /// Makes a file system without our role, as an operator might.
    pub fn insert_foreign(&self, name: &DatasetName) {
        self.state().insert(name, None);
    }

    /// Unmounts a file system, as a ZFS leaves it that starts anew.
    pub fn unmount(&self, name: &DatasetName) {
        if let Some(found) = self.state().file_systems.get_mut(name) {
            drop(found.unmount());
        }
    }
}
