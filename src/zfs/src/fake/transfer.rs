//! The fake's sends and receives.

use super::disk;
use super::state::{State, Taken};
use super::stream::{Sent, Unreadable};
use crate::{ByteStream, ReceiveError, Received, Role, SendError, Snapshot};
use bootstash_base::clock;
use bootstash_base::names::{DatasetName, SnapshotName};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::io::{self, Cursor};
use tokio::io::AsyncReadExt;

/// Takes a stream in, as the fake's receive needs all of it at once; and the error that cut it.
pub(super) async fn read_all(mut stream: ByteStream) -> (Vec<u8>, Option<io::Error>) {
    let mut bytes = Vec::new();
    let cut = stream.read_to_end(&mut bytes).await.err();
    (bytes, cut)
}

/// The only receive into a file system; it is over when this is dropped.
pub(super) struct Alone<'a>(&'a Mutex<HashSet<DatasetName>>, DatasetName);

impl<'a> Alone<'a> {
    pub(super) fn with(
        all: &'a Mutex<HashSet<DatasetName>>,
        into: &DatasetName,
    ) -> Result<Self, ReceiveError> {
        match all.lock().insert(into.clone()) {
            true => Ok(Self(all, into.clone())),
            false => Err(ReceiveError::Busy { into: into.clone() }),
        }
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

impl State {
    pub(super) fn send(
        &self,
        of: &DatasetName,
        from: Option<&SnapshotName>,
        to: &SnapshotName,
    ) -> Result<ByteStream, SendError> {
        Ok(Box::pin(Cursor::new(self.encoded(of, from, to)?)))
    }

    pub(super) fn encoded(
        &self,
        of: &DatasetName,
        from: Option<&SnapshotName>,
        to: &SnapshotName,
    ) -> Result<Vec<u8>, SendError> {
        let find = |name: &SnapshotName| {
            let found = self.file_systems.get(of).and_then(|found| found.find(name));
            found.ok_or_else(|| SendError::Missing { of: of.clone(), snapshot: name.clone() })
        };
        let from = from.map(find).transpose()?;
        let to = find(to)?;
        let base = from.map(|taken| (taken.snapshot.guid, &taken.tree));
        let sent = Sent::between(base, to.snapshot.guid, &to.snapshot.name, &to.tree);
        Ok(sent.encode())
    }

    pub(super) fn may_receive(&self, into: &DatasetName) -> Result<(), ReceiveError> {
        let into = into.clone();
        match self.file_systems.get(&into) {
            Some(found) if found.role != Some(Role::Volume) => Err(ReceiveError::Foreign { into }),
            None if !self.has_parent(&into) => Err(ReceiveError::NoParent { into }),
            _ => Ok(()),
        }
    }

    pub(super) fn receive(&mut self, into: &DatasetName, bytes: &[u8]) -> Result<Received, ReceiveError> {
        self.may_receive(into)?;
        let sent = Sent::decode(bytes).map_err(|unreadable| match unreadable {
            Unreadable::Truncated => ReceiveError::Truncated { into: into.clone() },
            Unreadable::Corrupt => ReceiveError::Corrupt { into: into.clone() },
        })?;
        let base = self.base(into, &sent)?;
        let from = base.as_ref().map(|taken| taken.snapshot.guid);
        let to = Snapshot { name: sent.name.clone(), guid: sent.to, created: clock::now() };
        let tree = sent.apply(&base.map(|taken| taken.tree).unwrap_or_default());
        let taken = Taken { snapshot: to.clone(), tree: tree.clone() };
        self.insert(into, Some(Role::Volume)).taken.push(taken);
        if self.is_overfull(into.pool()) {
            self.take_back(into, from.is_none());
            return Err(ReceiveError::NoSpace { into: into.clone() });
        }
        let before = self.insert(into, Some(Role::Volume)).head.clone();
        self.insert(into, Some(Role::Volume)).head = tree.clone();
        if self.is_over_quota(into) {
            self.insert(into, Some(Role::Volume)).head = before;
            self.take_back(into, from.is_none());
            return Err(ReceiveError::Quota { into: into.clone() });
        }
        let filled = self.insert(into, Some(Role::Volume)).set_current(tree);
        filled.map_err(|error| ReceiveError::Other { into: into.clone(), source: disk(&error) })?;
        Ok(Received { from, to })
    }

    /// The snapshot the stream starts from, if it may be applied to it.
    fn base(&self, into: &DatasetName, sent: &Sent) -> Result<Option<Taken>, ReceiveError> {
        let name = || into.clone();
        let there = self.file_systems.get(into);
        let newest = there.and_then(|found| found.taken.last());
        match (sent.from, there, newest) {
            (None, None, _) => Ok(None),
            (None, Some(_), _) => Err(ReceiveError::Exists { into: name() }),
            (Some(from), Some(found), Some(newest)) if newest.snapshot.guid == from => {
                let current = found.current();
                let current =
                    current.map_err(|error| ReceiveError::Other { into: name(), source: disk(&error) })?;
                match current == newest.tree {
                    true => Ok(Some(newest.clone())),
                    false => {
                        let mend = format!("zfs rollback {into}@{}", newest.snapshot.name);
                        Err(ReceiveError::Modified { into: name(), mend })
                    }
                }
            }
            (Some(_), _, _) => Err(ReceiveError::WrongBase { into: name() }),
        }
    }

    fn take_back(&mut self, into: &DatasetName, was_new: bool) {
        if was_new {
            self.file_systems.remove(into);
        } else if let Some(found) = self.file_systems.get_mut(into) {
            found.taken.pop();
        }
    }
}
