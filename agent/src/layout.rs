//! Where an agent keeps what, in ZFS and in files.

use crate::directory_pattern::DirectoryPattern;
use bootstash_base::names::{DatasetName, NameError, SnapshotName};
use bootstash_daemon::config::AgentConfig;
use bootstash_zfs::{NewDataset, Property, Role};
use std::path::{Path, PathBuf};

const VOLUME: &str = "volume";

/// The names of everything an agent makes.
#[derive(Clone, Debug)]
pub struct Layout {
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
    /// The layout below a configuration's data set and directories.
    ///
    /// # Errors
    /// When the data set's name leaves no room for those below it.
    pub fn of(config: &AgentConfig) -> Result<Self, NameError> {
        Ok(Self {
            root: config.dataset.clone(),
            volume: config.dataset.child(VOLUME)?,
            views: config.dataset.child("views")?,
            views_dir: config.views_dir.clone(),
            overlay_dirs: config.overlay_dirs.iter().cloned().map(DirectoryPattern::from).collect(),
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
        self.views.child(snapshot.as_str())
    }

    /// Where the view of a snapshot is mounted.
    pub fn mountpoint(&self, snapshot: &SnapshotName) -> PathBuf {
        self.views_dir.join(snapshot.as_str())
    }

    /// The directories in files.
    pub fn directories(&self) -> [&Path; 4] {
        [&self.views_dir, &self.leases_dir, &self.fetch_dir, &self.unknown_dir]
    }

    /// The file systems to make before anything is received, in order. Properties are set on the
    /// root because a received volume inherits them: a stream carries none.
    pub fn datasets(&self) -> [(&DatasetName, NewDataset); 2] {
        let properties = vec![
            Property::Dedup,
            Property::Compression,
            Property::RecordSize64K,
            Property::NoAtime,
            Property::ReadOnly,
        ];
        [
            (&self.root, NewDataset { role: Role::Root, mountpoint: None, properties }),
            (&self.views, NewDataset { role: Role::Views, mountpoint: None, properties: Vec::new() }),
        ]
    }
}
