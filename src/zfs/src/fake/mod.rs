//! A ZFS in memory, for tests that want speed or faults at will.
//!
//! Promises: it passes the contract that the real one passes. A mounted file system is a real
//! folder: what lies in it when a snapshot is taken is what the snapshot holds, and a view is
//! written out there. Pools need not be made. GUIDs come from the seed alone.

mod fault;
mod resume;
mod state;
mod stream;
mod tampering;
mod transfer;
mod tree;
#[allow(clippy::result_large_err, reason = "the trait's errors name both parts of a snapshot")]
mod verbs;
mod whole;

pub use fault::{Hanging, Verb};
pub use whole::Checkpoint;

use super::{
    ByteStream, Capabilities, CloneError, CreateError, Dataset, DestroyError, Flavor, Made, MountError,
    MountPointError, NewDataset, Owner, Property, ReadError, Receive, ReceiveError, Received, Removed,
    ResumeToken, SendError, Snapshot, SnapshotError, Unanswered, Usage, Zfs, ZfsFailure,
};
use async_trait::async_trait;
use bootstash_base::mount_table::DeviceNumber;
use bootstash_base::names::{DatasetName, SnapshotName};
use fault::Faults;
use parking_lot::{Mutex, MutexGuard};
use state::State;
use std::collections::HashSet;
use std::path::Path;

/// ZFS in memory. Shared by `Arc`.
#[derive(Debug)]
pub struct FakeZfs {
    capabilities: Capabilities,
    state: Mutex<State>,
    faults: Faults,
    receiving: Mutex<HashSet<DatasetName>>,
}

impl Default for FakeZfs {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeZfs {
    /// An empty one. Two of them give different GUIDs only if their seeds differ: see [`Self::seeded`].
    pub fn new() -> Self {
        Self::seeded(0)
    }

    /// An empty one whose GUIDs follow from `seed`.
    pub fn seeded(seed: u64) -> Self {
        let capabilities = Capabilities {
            flavor: Flavor::Fake,
            zstd: true,
            resumable_receive: true,
            parsable_list: true,
            dedup_table: false,
            bookmarks: true,
            libzfs_core: false,
        };
        Self {
            capabilities,
            state: Mutex::new(State::new(seed)),
            faults: Faults::default(),
            receiving: Mutex::default(),
        }
    }

    /// How many bytes a pool takes before it is full; each content counts once.
    pub fn set_capacity(&self, pool: &str, bytes: u64) {
        self.state().set_capacity(pool, bytes);
    }

    /// How many bytes a file system and those below it take.
    pub fn set_quota(&self, of: &DatasetName, bytes: u64) {
        self.state().set_quota(of, bytes);
    }

    /// Whether something has a file system open, which then is not destroyed.
    pub fn set_busy(&self, name: &DatasetName, busy: bool) {
        let all = &mut self.state().busy;
        let _ = if busy { all.insert(name.clone()) } else { all.remove(name) };
    }

    /// The properties that were set on a file system.
    pub fn properties(&self, name: &DatasetName) -> Vec<Property> {
        self.state().file_systems.get(name).map(|found| found.properties.clone()).unwrap_or_default()
    }

    /// The next call of `verb` fails with this text.
    pub fn fail_next(&self, verb: Verb, stderr: &str) {
        self.faults.fail(verb, stderr);
    }

    /// The next call of `verb` hangs, before it does anything, until it is released.
    pub fn hang_next(&self, verb: Verb) -> Hanging {
        self.faults.hang(verb)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    async fn reading(&self, verb: Verb, name: &DatasetName) -> Result<MutexGuard<'_, State>, ReadError> {
        let gate = self.faults.gate(verb).await;
        gate.map_err(|source| ReadError { name: name.to_string(), source })?;
        Ok(self.state())
    }
}

/// The fake's folders are on a real disk, and it fails.
fn disk(error: &std::io::Error) -> ZfsFailure {
    ZfsFailure::Unexpected { command: "the fake's folder".to_owned(), stderr: error.to_string() }
}

#[async_trait]
impl Zfs for FakeZfs {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn unanswered(&self) -> Option<Unanswered> {
        self.faults.calls.longest()
    }

    async fn dataset(&self, name: &DatasetName) -> Result<Option<Dataset>, ReadError> {
        let state = self.reading(Verb::Dataset, name).await?;
        Ok(state.file_systems.get(name).map(|found| found.state(name)))
    }

    async fn children(&self, parent: &DatasetName) -> Result<Vec<DatasetName>, ReadError> {
        Ok(self.reading(Verb::Children, parent).await?.children(parent))
    }

    async fn create(&self, name: &DatasetName, new: &NewDataset) -> Result<Made, CreateError> {
        let gate = self.faults.gate(Verb::Create).await;
        gate.map_err(|source| CreateError::Other { name: name.clone(), source })?;
        self.state().create(name, new)
    }

    async fn claim(&self, name: &DatasetName, owner: &Owner) -> Result<Made, CreateError> {
        self.state().claim(name, owner)
    }

    async fn check_mounted_at(
        &self,
        name: &DatasetName,
        path: &Path,
    ) -> Result<DeviceNumber, MountPointError> {
        self.state().check_mounted_at(name, path)
    }

    async fn mount(&self, name: &DatasetName) -> Result<Made, MountError> {
        let gate = self.faults.gate(Verb::Mount).await;
        gate.map_err(|source| MountError::Other { name: name.clone(), source })?;
        self.state().mount(name)
    }

    async fn snapshots(&self, of: &DatasetName) -> Result<Vec<Snapshot>, ReadError> {
        let state = self.reading(Verb::Snapshots, of).await?;
        let found = state.file_systems.get(of);
        Ok(found
            .map(|found| found.taken.iter().map(|taken| taken.snapshot.clone()).collect())
            .unwrap_or_default())
    }

    async fn snapshot(&self, of: &DatasetName, name: &SnapshotName) -> Result<Snapshot, SnapshotError> {
        let gate = self.faults.gate(Verb::Snapshot).await;
        gate.map_err(|source| SnapshotError::Other { of: of.clone(), name: name.clone(), source })?;
        self.state().snapshot(of, name)
    }

    async fn bookmark(&self, of: &DatasetName, name: &SnapshotName) -> Result<Made, SnapshotError> {
        self.state().bookmark(of, name)
    }

    async fn destroy_snapshot(&self, of: &DatasetName, name: &SnapshotName) -> Result<Removed, DestroyError> {
        let gate = self.faults.gate(Verb::DestroySnapshot).await;
        gate.map_err(|source| DestroyError::Other { name: format!("{of}@{name}"), source })?;
        self.state().destroy_snapshot(of, name)
    }

    async fn destroy(&self, name: &DatasetName) -> Result<Removed, DestroyError> {
        let gate = self.faults.gate(Verb::Destroy).await;
        gate.map_err(|source| DestroyError::Other { name: name.to_string(), source })?;
        self.state().destroy(name)
    }

    async fn clone_snapshot(
        &self,
        of: &DatasetName,
        name: &SnapshotName,
        clone: &DatasetName,
        mountpoint: &Path,
    ) -> Result<Made, CloneError> {
        let gate = self.faults.gate(Verb::Clone).await;
        gate.map_err(|source| CloneError::Other { of: of.clone(), snapshot: name.clone(), source })?;
        self.state().clone_snapshot(of, name, clone, mountpoint)
    }

    async fn send(
        &self,
        of: &DatasetName,
        from: Option<&SnapshotName>,
        to: &SnapshotName,
    ) -> Result<ByteStream, SendError> {
        let gate = self.faults.gate(Verb::Send).await;
        gate.map_err(|source| SendError::Other { of: of.clone(), source })?;
        self.state().send(of, from, to)
    }

    async fn receive_as(
        &self,
        into: &DatasetName,
        stream: ByteStream,
        how: Receive,
    ) -> Result<Received, ReceiveError> {
        let gate = self.faults.gate(Verb::Receive).await;
        gate.map_err(|source| ReceiveError::Other { into: into.clone(), source })?;
        self.state().may_receive(into)?;
        let _alone = transfer::Alone::with(&self.receiving, into)?;
        let (came, cut) = transfer::read_all(stream).await;
        self.state().receive_as(into, came, cut, how)
    }

    async fn partial(&self, of: &DatasetName) -> Result<Option<ResumeToken>, ReadError> {
        Ok(self.reading(Verb::Partial, of).await?.partial(of))
    }

    async fn drop_partial(&self, of: &DatasetName) -> Result<Removed, ReceiveError> {
        Ok(self.state().drop_partial(of))
    }

    async fn send_rest(
        &self,
        of: &DatasetName,
        token: &ResumeToken,
    ) -> Result<(SnapshotName, ByteStream), SendError> {
        let gate = self.faults.gate(Verb::Send).await;
        gate.map_err(|source| SendError::Other { of: of.clone(), source })?;
        self.state().send_rest(of, token)
    }

    async fn send_size(
        &self,
        of: &DatasetName,
        from: Option<&SnapshotName>,
        to: &SnapshotName,
    ) -> Result<Option<u64>, SendError> {
        Ok(Some(self.state().encoded(of, from, to)?.len() as u64))
    }

    async fn prefetch_dedup_table(&self, _: &DatasetName) -> Result<Made, ReadError> {
        Ok(Made::Unchanged)
    }

    async fn usage(&self, of: &DatasetName) -> Result<Usage, ReadError> {
        let state = self.reading(Verb::Usage, of).await?;
        let failed = |source| ReadError { name: of.to_string(), source };
        let found = state.file_systems.get(of).ok_or_else(|| {
            failed(ZfsFailure::Unexpected {
                command: "usage".to_owned(),
                stderr: "dataset does not exist".to_owned(),
            })
        })?;
        state.usage(of.pool(), found).map_err(|error| failed(disk(&error)))
    }
}
