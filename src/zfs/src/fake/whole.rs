//! The whole fake at once: what a backup keeps, what a reboot does, and what a test looks at without
//! going through the trait.

use super::FakeZfs;
use super::state::FileSystem;
use super::tree;
use bootstash_base::names::{DatasetName, SnapshotName};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// All file systems as they were at an instant.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint(BTreeMap<DatasetName, FileSystem>);

impl FakeZfs {
    /// All file systems as they are now.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn checkpoint(&self) -> io::Result<Checkpoint> {
        let mut all = self.state().file_systems.clone();
        for file_system in all.values_mut() {
            file_system.head = file_system.current()?;
        }
        Ok(Checkpoint(all))
    }

    /// Makes it all as it was; the default is to lose everything. GUIDs are not given out again.
    ///
    /// # Errors
    /// When a folder cannot be written.
    pub fn restore(&self, to: &Checkpoint) -> io::Result<()> {
        let mut state = self.state();
        for file_system in state.file_systems.values_mut() {
            file_system.unmount()?;
        }
        state.file_systems = to.0.clone();
        for file_system in state.file_systems.values_mut().filter(|it| it.mounted) {
            file_system.mount()?;
        }
        Ok(())
    }

    /// Unmounts everything, as a reboot does on a ZFS that mounts nothing by itself.
    ///
    /// # Errors
    /// When a folder cannot be emptied.
    pub fn unmount_all(&self) -> io::Result<()> {
        self.state().file_systems.values_mut().try_for_each(FileSystem::unmount)
    }

    /// The names of all file systems.
    pub fn names(&self) -> Vec<DatasetName> {
        self.state().file_systems.keys().cloned().collect()
    }

    /// The files a snapshot holds, by relative path; none where there is no such snapshot.
    pub fn files(
        &self,
        of: &DatasetName,
        snapshot: &SnapshotName,
    ) -> Option<BTreeMap<PathBuf, Arc<Vec<u8>>>> {
        Some(self.state().file_systems.get(of)?.find(snapshot)?.tree.clone())
    }

    /// Whether a file system holds what the snapshot holds from which it was cloned.
    pub fn is_as_cloned(&self, clone: &DatasetName) -> bool {
        let state = self.state();
        let origin = |it: &FileSystem| {
            let (of, snapshot) = it.origin.clone()?;
            Some(&state.file_systems.get(&of)?.find(&snapshot)?.tree)
        };
        let Some(clone) = state.file_systems.get(clone) else { return false };
        match (&clone.mountpoint, clone.mounted) {
            (Some(folder), true) => tree::read(folder).ok().as_ref() == origin(clone),
            _ => Some(&clone.head) == origin(clone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NewDataset, Role, Zfs};

    #[tokio::test]
    async fn restores_what_was_there_and_gives_no_guid_twice() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("volume");
        let zfs = FakeZfs::new();
        let volume: DatasetName = "tank/volume".parse().unwrap();
        let name = |number| SnapshotName::new(number, chrono::DateTime::UNIX_EPOCH);
        let new = NewDataset { role: Role::Volume, mountpoint: Some(folder.clone()), properties: Vec::new() };
        zfs.create(&volume, &new).await.unwrap();
        std::fs::write(folder.join("a"), "1").unwrap();
        zfs.snapshot(&volume, &name(1)).await.unwrap();
        let checkpoint = zfs.checkpoint().unwrap();
        std::fs::write(folder.join("a"), "2").unwrap();
        let lost = zfs.snapshot(&volume, &name(2)).await.unwrap();
        zfs.restore(&checkpoint).unwrap();
        assert_eq!(std::fs::read(folder.join("a")).unwrap(), b"1");
        assert_eq!(zfs.files(&volume, &name(1)).unwrap().len(), 1);
        assert!(zfs.files(&volume, &name(2)).is_none());
        assert_ne!(zfs.snapshot(&volume, &name(2)).await.unwrap().guid, lost.guid);
        zfs.unmount_all().unwrap();
        assert!(!folder.join("a").exists());
        zfs.restore(&Checkpoint::default()).unwrap();
        assert_eq!(zfs.names(), []);
    }
}
