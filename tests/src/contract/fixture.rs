//! What a case is given: a ZFS, a file system to work below, and access past the trait.

use anyhow::{Context, Result, ensure};
use bootstash_base::names::{DatasetName, SnapshotName};
use bootstash_zfs::{ByteStream, Made, NewDataset, ReceiveError, Received, Role, Snapshot, Zfs};
use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::AsyncReadExt;

/// What a case does past the trait, to set up and to check.
pub trait DirectAccess: Send + Sync {
    /// Where a path of the host is seen from here.
    fn outside(&self, inside: &Path) -> PathBuf;
    /// Makes a file system without our role.
    ///
    /// # Errors
    /// When ZFS refuses to.
    fn make_foreign(&self, name: &DatasetName) -> Result<()>;
    /// The value of a property.
    ///
    /// # Errors
    /// When it cannot be read.
    fn property(&self, name: &DatasetName, property: &str) -> Result<String>;
    /// The value of a property of a snapshot; empty where it was not set on it.
    ///
    /// # Errors
    /// When it cannot be read.
    fn snapshot_property(&self, of: &DatasetName, name: &SnapshotName, property: &str) -> Result<String>;
    /// Takes a snapshot under a name that is not one of ours, as an operator might.
    ///
    /// # Errors
    /// When ZFS refuses to.
    fn take_foreign(&self, of: &DatasetName, name: &str) -> Result<()>;
    /// Limits what a file system and those below it may hold.
    ///
    /// # Errors
    /// When it cannot be set.
    fn set_quota(&self, name: &DatasetName, bytes: u64) -> Result<()>;
    /// A parent below which 60 MB have no room; nothing but this case uses it.
    ///
    /// # Errors
    /// When it cannot be made.
    fn cramped(&self) -> Result<DatasetName>;
}

/// What a case is given.
pub struct Fixture {
    /// What is tested.
    pub zfs: Arc<dyn Zfs>,
    /// The case's own root, which exists.
    pub root: DatasetName,
    /// The case's own folder, for mount points.
    pub dir: PathBuf,
    /// Access past the trait.
    pub direct: Arc<dyn DirectAccess>,
}

/// The files below a mount point.
pub type Files = BTreeMap<String, Vec<u8>>;

impl Fixture {
    /// Makes the root.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn make(
        zfs: Arc<dyn Zfs>,
        root: DatasetName,
        dir: PathBuf,
        direct: Arc<dyn DirectAccess>,
    ) -> Result<Self> {
        zfs.create(&root, &NewDataset { role: Role::Root, mountpoint: None, properties: Vec::new() }).await?;
        Ok(Self { zfs, root, dir, direct })
    }

    /// A name below the root.
    pub fn name(&self, leaf: &str) -> Result<DatasetName> {
        Ok(self.root.child(leaf)?)
    }

    /// A mounted volume below the root.
    pub async fn volume(&self, leaf: &str) -> Result<DatasetName> {
        let name = self.name(leaf)?;
        self.mounted(&name).await?;
        Ok(name)
    }

    /// Has a volume mounted in the case's folder.
    pub async fn mounted(&self, name: &DatasetName) -> Result<()> {
        let mountpoint = Some(self.dir.join(name.leaf()));
        let new = NewDataset { role: Role::Volume, mountpoint, properties: Vec::new() };
        self.zfs.create(name, &new).await?;
        self.zfs.mount(name).await?;
        Ok(())
    }

    /// Writes a file into a mounted volume.
    pub fn write(&self, volume: &DatasetName, file: &str, content: &[u8]) -> Result<()> {
        let path = self.direct.outside(&self.dir.join(volume.leaf())).join(file);
        std::fs::create_dir_all(path.parent().context("a file has a folder")?)?;
        let mut to = std::fs::File::create(path)?;
        std::io::Write::write_all(&mut to, content)?;
        Ok(to.sync_all()?)
    }

    /// A volume `leaf` with snapshot 1, and the content of that.
    pub async fn source(&self, leaf: &str) -> Result<(DatasetName, Files)> {
        let source = self.volume(leaf).await?;
        let files =
            Files::from([("a".to_owned(), noise(1, 300_000)), ("deep/down/b".to_owned(), noise(2, 70_000))]);
        for (file, content) in &files {
            self.write(&source, file, content)?;
        }
        self.take(&source, 1).await?;
        Ok((source, files))
    }

    /// Snapshot 2 of a volume made by `source`: `a` has another content and `b` is gone.
    pub async fn second(&self, source: &DatasetName) -> Result<Files> {
        self.write(source, "a", &noise(3, 300_000))?;
        std::fs::remove_file(self.direct.outside(&self.dir.join(source.leaf())).join("deep/down/b"))?;
        self.take(source, 2).await?;
        Ok(Files::from([("a".to_owned(), noise(3, 300_000))]))
    }

    /// `source` at snapshots 1 and 2, and `copy` at 1; gives both and the increment.
    pub async fn lagging(&self) -> Result<(DatasetName, DatasetName, Vec<u8>)> {
        let (source, _) = self.source("source").await?;
        let copy = self.name("copy")?;
        self.receive(&copy, self.sent(&source, None, 1).await?).await?;
        self.second(&source).await?;
        let increment = self.sent(&source, Some(1), 2).await?;
        Ok((source, copy, increment))
    }

    /// Takes a snapshot.
    pub async fn take(&self, of: &DatasetName, number: u64) -> Result<Snapshot> {
        Ok(self.zfs.snapshot(of, &snap(number)?).await?)
    }

    /// A whole stream.
    pub async fn sent(&self, of: &DatasetName, from: Option<u64>, to: u64) -> Result<Vec<u8>> {
        let from = from.map(snap).transpose()?;
        let mut bytes = Vec::new();
        self.zfs.send(of, from.as_ref(), &snap(to)?).await?.read_to_end(&mut bytes).await?;
        Ok(bytes)
    }

    /// Receives a stream from memory.
    pub async fn receive(&self, into: &DatasetName, bytes: Vec<u8>) -> Result<Received, ReceiveError> {
        self.zfs.receive(into, from_memory(bytes)).await
    }

    /// The numbers of a file system's snapshots.
    pub async fn numbers(&self, of: &DatasetName) -> Result<Vec<u64>> {
        Ok(self.zfs.snapshots(of).await?.iter().map(|snapshot| snapshot.name.number()).collect())
    }

    /// Clones a snapshot to `view-LEAF`, mounted in the case's folder.
    pub async fn view(&self, of: &DatasetName, number: u64, leaf: &str) -> Result<(DatasetName, PathBuf)> {
        let clone = self.name(&format!("view-{leaf}"))?;
        let at = self.dir.join(clone.leaf());
        let made = self.zfs.clone_snapshot(of, &snap(number)?, &clone, &at).await?;
        ensure!(made == Made::Created, "the view was there");
        Ok((clone, at))
    }

    /// What a snapshot holds, seen through a view that goes again.
    pub async fn content(&self, of: &DatasetName, number: u64) -> Result<Files> {
        let (clone, at) = self.view(of, number, "content").await?;
        let files = self.files(&at)?;
        self.zfs.destroy(&clone).await?;
        Ok(files)
    }

    /// The files below a path of the host.
    pub fn files(&self, at: &Path) -> Result<Files> {
        let mut files = Files::new();
        walk(&self.direct.outside(at), "", &mut files)?;
        Ok(files)
    }
}

fn walk(folder: &Path, prefix: &str, files: &mut Files) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &format!("{name}/"), files)?;
        } else {
            files.insert(name, std::fs::read(entry.path())?);
        }
    }
    Ok(())
}

/// A snapshot's name by its number alone.
pub(super) fn snap(number: u64) -> Result<SnapshotName> {
    Ok(SnapshotName::new(number, "2026-11-21T10:15:30Z".parse()?))
}

/// A stream that gives these bytes.
pub(super) fn from_memory(bytes: Vec<u8>) -> ByteStream {
    Box::pin(Cursor::new(bytes))
}

/// Bytes that neither compress nor repeat, the same for the same seed.
pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}
