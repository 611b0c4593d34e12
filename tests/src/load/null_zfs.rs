//! A ZFS that holds nothing but names and GUIDs. What it sends is noise of a snapshot's size, what it
//! receives it reads to the end: so that two hundred nodes fit into one process, and what is measured
//! is not a disk.

use async_trait::async_trait;
use bootstash_base::mount_table::DeviceNumber;
use bootstash_base::names::{DatasetName, Guid, SnapshotName};
use bootstash_zfs::*;
use chrono::Utc;
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc::UnboundedSender;

const MIB: u64 = 1 << 20;
const NAME_BYTES: usize = 64;
const HEAD_BYTES: usize = 16 + NAME_BYTES;
const BUFFER_BYTES: usize = 256 << 10;

/// See the module.
#[derive(Debug)]
pub(crate) struct NullZfs {
    capabilities: Capabilities,
    file_systems: Mutex<BTreeMap<DatasetName, FileSystem>>,
    /// Of what every stream but the first carries; else it goes by the snapshot.
    delta_bytes: Option<u64>,
    arrivals: Option<UnboundedSender<Arrival>>,
}

/// A stream that was received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Arrival {
    /// The number of the snapshot that it led to.
    pub(crate) snapshot: u64,
    /// Its BLAKE3, in hex.
    pub(crate) digest: String,
}

#[derive(Clone, Debug)]
struct FileSystem {
    role: Role,
    mountpoint: Option<PathBuf>,
    snapshots: Vec<Snapshot>,
}

/// 1 to 4 MiB, by the snapshot.
pub(super) fn stream_bytes(of: &SnapshotName) -> u64 {
    (1 + of.number() % 4) * MIB
}

impl NullZfs {
    pub(crate) fn new() -> Self {
        let capabilities = Capabilities {
            flavor: Flavor::Fake,
            zstd: true,
            resumable_receive: false,
            parsable_list: true,
            dedup_table: false,
            bookmarks: false,
            libzfs_core: false,
        };
        Self { capabilities, file_systems: Mutex::default(), delta_bytes: None, arrivals: None }
    }

    /// Sends about this many bytes as every delta.
    pub(crate) fn sending(self, delta_bytes: u64) -> Self {
        Self { delta_bytes: Some(delta_bytes), ..self }
    }

    /// Tells of each stream that was received.
    pub(crate) fn telling(self, arrivals: UnboundedSender<Arrival>) -> Self {
        Self { arrivals: Some(arrivals), ..self }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DatasetName, FileSystem>> {
        self.file_systems.lock()
    }

    fn find(&self, of: &DatasetName, name: &SnapshotName) -> Option<Snapshot> {
        self.lock().get(of)?.snapshots.iter().find(|snapshot| snapshot.name == *name).cloned()
    }

    fn insert(&self, name: &DatasetName, role: Role, mountpoint: Option<PathBuf>) -> Made {
        let mut file_systems = self.lock();
        let made = if file_systems.contains_key(name) { Made::Unchanged } else { Made::Created };
        let new = FileSystem { role, mountpoint, snapshots: Vec::new() };
        file_systems.entry(name.clone()).or_insert(new);
        made
    }
}

/// The same for the same name, so that every ZFS of these has the same.
fn guid_of(name: &SnapshotName) -> Guid {
    Guid::new(name.number())
}

fn encode(from: Option<Guid>, to: &Snapshot, body_bytes: u64) -> Vec<u8> {
    let mut bytes = vec![0; HEAD_BYTES + body_bytes as usize];
    let (head, body) = bytes.split_at_mut(HEAD_BYTES);
    head[..8].copy_from_slice(&from.map_or(0, Guid::get).to_le_bytes());
    head[8..16].copy_from_slice(&to.guid.get().to_le_bytes());
    head[16..16 + to.name.as_str().len()].copy_from_slice(to.name.as_str().as_bytes());
    blake3::Hasher::new().update(to.name.as_str().as_bytes()).finalize_xof().fill(body);
    bytes
}

/// Reads to the end; the BLAKE3 of all, in hex.
pub(crate) async fn swallow(head: &[u8], mut stream: ByteStream) -> io::Result<String> {
    let (mut hasher, mut buffer) = (blake3::Hasher::new(), vec![0; BUFFER_BYTES]);
    hasher.update(head);
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(hasher.finalize().to_hex().to_string()),
            read => hasher.update(&buffer[..read]),
        };
    }
}

fn decode(head: &[u8; HEAD_BYTES]) -> Option<(u64, Snapshot)> {
    let number = |at: usize| Some(u64::from_le_bytes(head[at..at + 8].try_into().ok()?));
    let name = std::str::from_utf8(&head[16..]).ok()?.trim_end_matches('\0').parse().ok()?;
    Some((number(0)?, Snapshot { name, guid: Guid::new(number(8)?), created: Utc::now() }))
}

fn missing(verb: &str) -> ZfsFailure {
    ZfsFailure::Unexpected { command: verb.to_owned(), stderr: "dataset does not exist".to_owned() }
}

#[async_trait]
impl Zfs for NullZfs {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn dataset(&self, name: &DatasetName) -> Result<Option<Dataset>, ReadError> {
        let view = |found: &FileSystem| Dataset {
            name: name.clone(),
            guid: Guid::new(1),
            role: Some(found.role),
            owner: None,
            mountpoint: found.mountpoint.clone(),
            mounted: found.mountpoint.is_some(),
        };
        Ok(self.lock().get(name).map(view))
    }

    async fn children(&self, parent: &DatasetName) -> Result<Vec<DatasetName>, ReadError> {
        Ok(self.lock().keys().filter(|name| name.parent().as_ref() == Some(parent)).cloned().collect())
    }

    async fn create(&self, name: &DatasetName, new: &NewDataset) -> Result<Made, CreateError> {
        if let Some(mountpoint) = &new.mountpoint {
            std::fs::create_dir_all(mountpoint).map_err(|_| CreateError::NoParent { name: name.clone() })?;
        }
        Ok(self.insert(name, new.role, new.mountpoint.clone()))
    }

    async fn claim(&self, _: &DatasetName, _: &Owner) -> Result<Made, CreateError> {
        Ok(Made::Unchanged)
    }

    async fn check_mounted_at(&self, _: &DatasetName, _: &Path) -> Result<DeviceNumber, MountPointError> {
        Ok(DeviceNumber { major: 0, minor: 0 })
    }

    async fn mount(&self, _: &DatasetName) -> Result<Made, MountError> {
        Ok(Made::Unchanged)
    }

    async fn snapshots(&self, of: &DatasetName) -> Result<Vec<Snapshot>, ReadError> {
        Ok(self.lock().get(of).map(|found| found.snapshots.clone()).unwrap_or_default())
    }

    async fn snapshot(&self, of: &DatasetName, name: &SnapshotName) -> Result<Snapshot, SnapshotError> {
        let snapshot = Snapshot { name: name.clone(), guid: guid_of(name), created: Utc::now() };
        let gone = || SnapshotError::Missing { of: of.clone(), name: name.clone() };
        self.lock().get_mut(of).ok_or_else(gone)?.snapshots.push(snapshot.clone());
        Ok(snapshot)
    }

    async fn bookmark(&self, _: &DatasetName, _: &SnapshotName) -> Result<Made, SnapshotError> {
        Ok(Made::Unchanged)
    }

    async fn destroy_snapshot(&self, of: &DatasetName, name: &SnapshotName) -> Result<Removed, DestroyError> {
        if let Some(found) = self.lock().get_mut(of) {
            found.snapshots.retain(|snapshot| snapshot.name != *name);
        }
        Ok(Removed::Removed)
    }

    async fn destroy(&self, name: &DatasetName) -> Result<Removed, DestroyError> {
        Ok(self.lock().remove(name).map_or(Removed::Unchanged, |_| Removed::Removed))
    }

    async fn clone_snapshot(
        &self,
        _: &DatasetName,
        _: &SnapshotName,
        clone: &DatasetName,
        mountpoint: &Path,
    ) -> Result<Made, CloneError> {
        Ok(self.insert(clone, Role::View, Some(mountpoint.to_owned())))
    }

    async fn send(
        &self,
        of: &DatasetName,
        from: Option<&SnapshotName>,
        to: &SnapshotName,
    ) -> Result<ByteStream, SendError> {
        let gone = || SendError::Missing { of: of.clone(), snapshot: to.clone() };
        let to = self.find(of, to).ok_or_else(gone)?;
        let body_bytes =
            self.delta_bytes.filter(|_| from.is_some()).unwrap_or_else(|| stream_bytes(&to.name));
        Ok(Box::pin(Cursor::new(encode(from.map(guid_of), &to, body_bytes))))
    }

    async fn receive_as(
        &self,
        into: &DatasetName,
        mut stream: ByteStream,
        _: Receive,
    ) -> Result<Received, ReceiveError> {
        let broken = |source| ReceiveError::Source { into: into.clone(), source };
        let mut head = [0; HEAD_BYTES];
        stream.read_exact(&mut head).await.map_err(broken)?;
        let digest = swallow(&head, stream).await.map_err(broken)?;
        let (base, to) = decode(&head).ok_or_else(|| ReceiveError::Corrupt { into: into.clone() })?;
        self.insert(into, Role::Volume, None);
        let mut file_systems = self.lock();
        let wrong = || ReceiveError::WrongBase { into: into.clone() };
        let found = file_systems.get_mut(into).ok_or_else(wrong)?;
        let from = found.snapshots.last().map(|newest| newest.guid);
        if from.map_or(0, Guid::get) != base {
            return Err(wrong());
        }
        found.snapshots.push(to.clone());
        if let Some(arrivals) = &self.arrivals {
            // Nobody listens any more: then nobody wants to know.
            drop(arrivals.send(Arrival { snapshot: to.name.number(), digest }));
        }
        Ok(Received { from, to })
    }

    async fn partial(&self, _: &DatasetName) -> Result<Option<ResumeToken>, ReadError> {
        Ok(None)
    }

    async fn drop_partial(&self, _: &DatasetName) -> Result<Removed, ReceiveError> {
        Ok(Removed::Unchanged)
    }

    async fn send_rest(
        &self,
        of: &DatasetName,
        _: &ResumeToken,
    ) -> Result<(SnapshotName, ByteStream), SendError> {
        Err(SendError::Other { of: of.clone(), source: missing("send -t") })
    }

    async fn send_size(
        &self,
        _: &DatasetName,
        _: Option<&SnapshotName>,
        _: &SnapshotName,
    ) -> Result<Option<u64>, SendError> {
        Ok(None)
    }

    async fn prefetch_dedup_table(&self, _: &DatasetName) -> Result<Made, ReadError> {
        Ok(Made::Unchanged)
    }

    async fn usage(&self, of: &DatasetName) -> Result<Usage, ReadError> {
        Err(ReadError { name: of.to_string(), source: missing("usage") })
    }
}
