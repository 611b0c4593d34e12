//! Where an agent keeps what, in ZFS and in files.

use crate::directory_pattern::DirectoryPattern;
use bootstash_base::names::{DatasetName, NameError, NodeName, SnapshotName};
use bootstash_daemon::config::AgentConfig;
use bootstash_zfs::{NewDataset, Owner, Property, Role};
use std::path::{Path, PathBuf};

const VOLUME: &str = "volume";

/// The names of everything an agent makes.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Whose the root is.
    pub owner: Owner,
    /// The parent of all, which hands its properties down to what is received.
    pub root: DatasetName,
    /// The volume: received, never mounted. Its first generation.
    pub volume: DatasetName,
    /// The parent of the views.
    pub views: DatasetName,
    /// Where views are mounted, a directory for each snapshot.
    pub views_dir: PathBuf,
    /// Where overlays may lie that no record tells of.
    pub overlay_dirs: Vec<DirectoryPattern>,
    /// Below these, an image's modification time does not tell that it was written to.
    pub touched_dirs: Vec<PathBuf>,
    /// Records of overlays.
    pub leases_dir: PathBuf,
    /// Deltas being fetched.
    pub fetch_dir: PathBuf,
    /// Deltas kept for peers.
    pub peer_cache_dir: PathBuf,
    /// A file for each replaced volume that the registrar does not know.
    pub unknown_dir: PathBuf,
}

impl Layout {
    /// The layout below a configuration's data set and directories, for the agent of `node`.
    ///
    /// # Errors
    /// When the data set's name leaves no room for those below it.
    pub fn of(config: &AgentConfig, node: &NodeName) -> Result<Self, NameError> {
        Ok(Self {
            owner: Owner::Agent(node.clone()),
            root: config.dataset.clone(),
            volume: config.dataset.child(VOLUME)?,
            views: config.dataset.child("views")?,
            views_dir: config.views_dir.clone(),
            overlay_dirs: config.overlay_dirs.iter().cloned().map(DirectoryPattern::from).collect(),
            touched_dirs: config.touched_dirs.clone(),
            leases_dir: config.state_dir.join("overlays"),
            fetch_dir: config.state_dir.join("fetch"),
            peer_cache_dir: config.state_dir.join("deltas"),
            unknown_dir: config.state_dir.join("unknown"),
        })
    }

    /// A generation of the volume, from 1 on.
    ///
    /// # Errors
    /// When its name would be too long for ZFS.
    pub fn generation(&self, number: u32) -> Result<DatasetName, NameError> {
        match number {
            0 | 1 => Ok(self.volume.clone()),
            later => self.root.child(&format!("{}-{later}", self.volume.leaf())),
        }
    }

    /// The note that the registrar knows nothing of a generation.
    pub fn unknown_note(&self, generation: u32) -> PathBuf {
        self.unknown_dir.join(generation.to_string())
    }

    /// Which generation of the volume a file system below the root is.
    pub fn generation_of(dataset: &DatasetName) -> Option<u32> {
        match dataset.leaf().strip_prefix(VOLUME)? {
            "" => Some(1),
            rest => rest.strip_prefix('-')?.parse().ok().filter(|number| *number > 1),
        }
    }

    /// The file system that is the view of a snapshot.
    ///
    /// # Errors
    /// When its name would be too long for ZFS.
    pub fn view(&self, snapshot: &SnapshotName) -> Result<DatasetName, NameError> {
        self.numbered_view(snapshot, 1)
    }

    /// The view of a snapshot from 1 on: a further one is made where somebody keeps the one before from being mounted.
    ///
    /// # Errors
    /// When its name would be too long for ZFS.
    pub fn numbered_view(&self, snapshot: &SnapshotName, number: u32) -> Result<DatasetName, NameError> {
        match number {
            0 | 1 => self.views.child(snapshot.as_str()),
            further => self.views.child(&format!("{snapshot}-{further}")),
        }
    }

    /// Of which snapshot a file system below [`Self::views`] is a view, and which.
    pub fn view_of(dataset: &DatasetName) -> Option<(SnapshotName, u32)> {
        if let Ok(snapshot) = dataset.leaf().parse() {
            return Some((snapshot, 1));
        }
        let (snapshot, number) = dataset.leaf().rsplit_once('-')?;
        Some((snapshot.parse().ok()?, number.parse().ok().filter(|number| *number > 1)?))
    }

    /// Where the view of a snapshot is mounted.
    pub fn mountpoint(&self, snapshot: &SnapshotName) -> PathBuf {
        self.views_dir.join(snapshot.as_str())
    }

    /// The directories in files.
    pub fn directories(&self) -> [&Path; 4] {
        [&self.views_dir, &self.leases_dir, &self.fetch_dir, &self.unknown_dir]
    }

    /// What the root is like. Properties are set on it because a received volume inherits them: a stream carries none.
    pub fn new_root() -> NewDataset {
        let properties = vec![
            Property::Dedup,
            Property::Compression,
            Property::RecordSize64K,
            Property::NoAtime,
            Property::ReadOnly,
        ];
        NewDataset { role: Role::Root, mountpoint: None, properties }
    }

    /// What the parent of the views is like.
    pub fn new_views() -> NewDataset {
        NewDataset { role: Role::Views, mountpoint: None, properties: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_views_name_says_of_which_snapshot_it_is_and_which() {
        let layout = crate::testing::Node::new().layout();
        let snapshot: SnapshotName = "bs-000042-20261121T101530Z".parse().unwrap();
        assert_eq!(layout.view(&snapshot).unwrap().leaf(), snapshot.as_str());
        for number in [1, 2, 17] {
            let view = layout.numbered_view(&snapshot, number).unwrap();
            assert_eq!(Layout::view_of(&view), Some((snapshot.clone(), number)));
        }
        for foreign in ["mine", "bs-000042-20261121T101530Z-1", "bs-000042-20261121T101530Z-x", "mine-2"] {
            assert_eq!(Layout::view_of(&layout.views.child(foreign).unwrap()), None, "{foreign}");
        }
    }
}
