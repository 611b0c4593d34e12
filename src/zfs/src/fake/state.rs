//! The fake's file systems and what may be done with them. No waiting, no faults: those are above.

use super::tree::{self, Tree};
use crate::{Dataset, Property, Role, Snapshot, Usage};
use bootstash_base::names::{DatasetName, Guid, SnapshotName};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};

const DEFAULT_CAPACITY_BYTES: u64 = 1 << 40;

/// A snapshot and what it holds.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) snapshot: Snapshot,
    pub(super) tree: Tree,
}

/// A file system.
#[derive(Clone, Debug)]
pub(super) struct FileSystem {
    pub(super) guid: Guid,
    pub(super) role: Option<Role>,
    pub(super) owner: Option<String>,
    pub(super) mountpoint: Option<PathBuf>,
    pub(super) mounted: bool,
    pub(super) properties: Vec<Property>,
    /// What it holds while it is not mounted; mounted, the folder tells.
    pub(super) head: Tree,
    pub(super) taken: Vec<Taken>,
    pub(super) origin: Option<(DatasetName, SnapshotName)>,
    /// What came of a receive that was cut.
    pub(super) partial: Option<Vec<u8>>,
    pub(super) bookmarks: BTreeSet<SnapshotName>,
}

/// All there is.
#[derive(Debug)]
pub(super) struct State {
    pub(super) file_systems: BTreeMap<DatasetName, FileSystem>,
    capacities: HashMap<String, u64>,
    quotas: HashMap<DatasetName, u64>,
    /// File systems that something has open.
    pub(super) busy: BTreeSet<DatasetName>,
    /// File systems of which somebody holds a mount that nobody else sees.
    pub(super) held: BTreeSet<DatasetName>,
    /// Snapshots that others took, the newest of each file system.
    pub(super) foreign_snapshots: BTreeMap<DatasetName, String>,
    seed: u64,
    counter: u64,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            file_systems: BTreeMap::new(),
            capacities: HashMap::new(),
            quotas: HashMap::new(),
            busy: BTreeSet::new(),
            held: BTreeSet::new(),
            foreign_snapshots: BTreeMap::new(),
            seed,
            counter: 0,
        }
    }

    /// The same numbers for the same seed, and no zero.
    pub(super) fn next_guid(&mut self) -> Guid {
        self.counter += 1;
        let hash = blake3::hash(&[self.seed.to_le_bytes(), self.counter.to_le_bytes()].concat());
        let first = hash.as_bytes().first_chunk::<8>().copied().unwrap_or_default();
        Guid::new(u64::from_le_bytes(first).max(1))
    }

    pub(super) fn insert(&mut self, name: &DatasetName, role: Option<Role>) -> &mut FileSystem {
        let guid = self.next_guid();
        self.file_systems.entry(name.clone()).or_insert(FileSystem {
            guid,
            role,
            owner: None,
            mountpoint: None,
            mounted: false,
            properties: Vec::new(),
            head: Tree::new(),
            taken: Vec::new(),
            origin: None,
            partial: None,
            bookmarks: BTreeSet::new(),
        })
    }

    /// Pools are there without being made.
    pub(super) fn has_parent(&self, name: &DatasetName) -> bool {
        name.parent()
            .is_none_or(|parent| parent.parent().is_none() || self.file_systems.contains_key(&parent))
    }

    pub(super) fn children(&self, parent: &DatasetName) -> Vec<DatasetName> {
        self.file_systems.keys().filter(|name| name.parent().as_ref() == Some(parent)).cloned().collect()
    }

    /// Whether a clone hangs on a file system, or on this one snapshot of it.
    pub(super) fn has_clones(&self, of: &DatasetName, snapshot: Option<&SnapshotName>) -> bool {
        let hangs = |(origin, at): &(DatasetName, SnapshotName)| {
            origin == of && snapshot.is_none_or(|snapshot| at == snapshot)
        };
        self.file_systems.values().filter_map(|file_system| file_system.origin.as_ref()).any(hangs)
    }

    pub(super) fn set_capacity(&mut self, pool: &str, bytes: u64) {
        self.capacities.insert(pool.to_owned(), bytes);
    }

    pub(super) fn set_quota(&mut self, of: &DatasetName, bytes: u64) {
        self.quotas.insert(of.clone(), bytes);
    }

    /// Whether a file system or one above it holds more than its quota.
    pub(super) fn is_over_quota(&self, name: &DatasetName) -> bool {
        let above = std::iter::successors(Some(name.clone()), DatasetName::parent);
        above
            .into_iter()
            .any(|above| self.quotas.get(&above).is_some_and(|&quota| self.below_bytes(&above) > quota))
    }

    fn below_bytes(&self, above: &DatasetName) -> u64 {
        let below = |name: &DatasetName| name == above || name.as_str().starts_with(&format!("{above}/"));
        self.file_systems
            .iter()
            .filter(|(name, _)| below(name))
            .map(|(_, found)| tree::size(&found.head))
            .sum()
    }

    /// Whether a pool holds more than it can.
    pub(super) fn is_overfull(&self, pool: &str) -> bool {
        self.stored_bytes(pool) > self.capacity_bytes(pool)
    }

    fn capacity_bytes(&self, pool: &str) -> u64 {
        self.capacities.get(pool).copied().unwrap_or(DEFAULT_CAPACITY_BYTES)
    }

    /// Each content counts once, as with deduplication.
    fn stored_bytes(&self, pool: &str) -> u64 {
        let contents = self.trees(pool).flat_map(Tree::values);
        let distinct: HashMap<_, _> =
            contents.map(|content| (content.as_slice(), content.len() as u64)).collect();
        distinct.into_values().sum()
    }

    fn trees(&self, pool: &str) -> impl Iterator<Item = &Tree> {
        let in_pool = self.file_systems.iter().filter(move |(name, _)| name.pool() == pool);
        in_pool.flat_map(|(_, found)| found.taken.iter().map(|taken| &taken.tree).chain([&found.head]))
    }

    #[allow(clippy::cast_precision_loss, reason = "a ratio of sizes that fit in memory")]
    pub(super) fn usage(&self, pool: &str, of: &FileSystem) -> io::Result<Usage> {
        let used_bytes = self.stored_bytes(pool);
        let referenced: u64 = self.trees(pool).map(tree::size).sum();
        Ok(Usage {
            logical_bytes: tree::size(&of.current()?),
            used_bytes,
            available_bytes: self.capacity_bytes(pool).saturating_sub(used_bytes),
            dedup_ratio: if used_bytes == 0 { 1.0 } else { referenced as f64 / used_bytes as f64 },
            compress_ratio: 1.0,
            dedup_table: None,
        })
    }
}

impl FileSystem {
    pub(super) fn state(&self, name: &DatasetName) -> Dataset {
        Dataset {
            name: name.clone(),
            guid: self.guid,
            role: self.role,
            owner: self.owner.clone(),
            mountpoint: self.mountpoint.clone(),
            mounted: self.mounted,
        }
    }

    pub(super) fn find(&self, name: &SnapshotName) -> Option<&Taken> {
        self.taken.iter().find(|taken| taken.snapshot.name == *name)
    }

    /// The folder it is seen at.
    fn folder(&self) -> Option<&Path> {
        self.mountpoint.as_deref().filter(|_| self.mounted)
    }

    /// What it holds now.
    pub(super) fn current(&self) -> io::Result<Tree> {
        self.folder().map_or_else(|| Ok(self.head.clone()), tree::read)
    }

    pub(super) fn set_current(&mut self, tree: Tree) -> io::Result<()> {
        if let Some(folder) = self.folder() {
            tree::write(folder, &tree)?;
        }
        self.head = tree;
        Ok(())
    }

    pub(super) fn mount(&mut self) -> io::Result<()> {
        let Some(folder) = self.mountpoint.clone() else {
            return Err(io::Error::other("no mountpoint set"));
        };
        match self.origin {
            Some(_) => tree::write_read_only(&folder, &self.head)?,
            None => tree::write(&folder, &self.head)?,
        }
        self.mounted = true;
        Ok(())
    }

    /// Mounts it there and nowhere else.
    pub(super) fn mount_at(&mut self, at: &Path) -> io::Result<()> {
        if self.folder() == Some(at) {
            return Ok(());
        }
        self.unmount()?;
        self.mountpoint = Some(at.to_owned());
        self.mount()
    }

    pub(super) fn unmount(&mut self) -> io::Result<()> {
        if let Some(folder) = self.folder().map(Path::to_owned) {
            self.head = tree::read(&folder)?;
            tree::clear(&folder)?;
            self.mounted = false;
        }
        Ok(())
    }
}
