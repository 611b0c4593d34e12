//! What the fake does for each verb that moves no stream.

use super::disk;
use super::state::{State, Taken};
use crate::{
    CloneError, CreateError, DestroyError, Made, MountError, MountPointError, NewDataset, Owner, Removed,
    Role, Snapshot, SnapshotError, ZfsFailure,
};
use bootstash_base::clock;
use bootstash_base::mount_table::DeviceNumber;
use bootstash_base::names::{DatasetName, SnapshotName};
use std::path::Path;

impl State {
    pub(super) fn bookmark(&mut self, of: &DatasetName, name: &SnapshotName) -> Result<Made, SnapshotError> {
        let found = self.file_systems.get_mut(of);
        let Some(found) = found.filter(|found| found.find(name).is_some() || found.bookmarks.contains(name))
        else {
            return Err(SnapshotError::Missing { of: of.clone(), name: name.clone() });
        };
        if found.bookmarks.contains(name) {
            return Ok(Made::Unchanged);
        }
        found.bookmarks = [name.clone()].into();
        Ok(Made::Created)
    }

    pub(super) fn create(&mut self, name: &DatasetName, new: &NewDataset) -> Result<Made, CreateError> {
        let made = match self.file_systems.get(name) {
            Some(found) if found.role != Some(new.role) => {
                return Err(CreateError::Foreign { name: name.clone() });
            }
            Some(_) => Made::Unchanged,
            None if !self.has_parent(name) => return Err(CreateError::NoParent { name: name.clone() }),
            None => Made::Created,
        };
        let found = self.insert(name, Some(new.role));
        for property in &new.properties {
            if !found.properties.contains(property) {
                found.properties.push(*property);
            }
        }
        let mut moved = || {
            if found.mountpoint != new.mountpoint {
                let mounted = found.mounted;
                found.unmount()?;
                found.mountpoint.clone_from(&new.mountpoint);
                if new.mountpoint.is_some() && (mounted || made == Made::Created) {
                    found.mount()?;
                }
            }
            Ok::<(), std::io::Error>(())
        };
        moved().map_err(|error| CreateError::Other { name: name.clone(), source: disk(&error) })?;
        Ok(made)
    }

    pub(super) fn claim(&mut self, name: &DatasetName, owner: &Owner) -> Result<Made, CreateError> {
        let Some(found) = self.file_systems.get_mut(name) else {
            return Err(CreateError::NoParent { name: name.clone() });
        };
        match &found.owner {
            _ if found.role.is_none() => Err(CreateError::Foreign { name: name.clone() }),
            Some(noted) if *noted == owner.to_string() => Ok(Made::Unchanged),
            Some(noted) => {
                Err(CreateError::Owned { name: name.clone(), owner: noted.clone(), wanted: owner.clone() })
            }
            None => {
                found.owner = Some(owner.to_string());
                Ok(Made::Created)
            }
        }
    }

    pub(super) fn check_mounted_at(
        &self,
        name: &DatasetName,
        path: &Path,
    ) -> Result<DeviceNumber, MountPointError> {
        let device = self.file_systems.keys().position(|it| it == name).unwrap_or_default();
        let found = self.file_systems.get(name).filter(|found| found.mounted);
        match found.and_then(|found| found.mountpoint.as_deref()) {
            Some(at) if at == path => {
                Ok(DeviceNumber { major: 0, minor: u32::try_from(device).unwrap_or_default() })
            }
            Some(at) => Err(MountPointError::Elsewhere {
                name: name.clone(),
                at: at.to_owned(),
                path: path.to_owned(),
            }),
            None => Err(MountPointError::NotMounted { name: name.clone(), path: path.to_owned() }),
        }
    }

    pub(super) fn mount(&mut self, name: &DatasetName) -> Result<Made, MountError> {
        let held = self.held.contains(name);
        let found =
            self.file_systems.get_mut(name).ok_or_else(|| MountError::Missing { name: name.clone() })?;
        if found.mounted {
            return Ok(Made::Unchanged);
        }
        if held {
            return Err(MountError::Held { name: name.clone() });
        }
        found.mount().map_err(|error| MountError::Other { name: name.clone(), source: disk(&error) })?;
        Ok(Made::Created)
    }

    pub(super) fn snapshot(
        &mut self,
        of: &DatasetName,
        name: &SnapshotName,
    ) -> Result<Snapshot, SnapshotError> {
        let guid = self.next_guid();
        let missing = || SnapshotError::Missing { of: of.clone(), name: name.clone() };
        let found = self.file_systems.get_mut(of).ok_or_else(missing)?;
        if let Some(taken) = found.find(name) {
            return Ok(taken.snapshot.clone());
        }
        let tree = found.current().map_err(|error| SnapshotError::Other {
            of: of.clone(),
            name: name.clone(),
            source: disk(&error),
        })?;
        let snapshot = Snapshot { name: name.clone(), guid, created: clock::now() };
        found.head.clone_from(&tree);
        found.taken.push(Taken { snapshot: snapshot.clone(), tree });
        if self.is_overfull(of.pool()) {
            if let Some(found) = self.file_systems.get_mut(of) {
                found.taken.pop();
            }
            return Err(SnapshotError::NoSpace { of: of.clone(), name: name.clone() });
        }
        Ok(snapshot)
    }

    pub(super) fn destroy_snapshot(
        &mut self,
        of: &DatasetName,
        name: &SnapshotName,
    ) -> Result<Removed, DestroyError> {
        let full = format!("{of}@{name}");
        let cloned = self.has_clones(of, Some(name));
        let Some(found) = self.file_systems.get_mut(of) else { return Ok(Removed::Unchanged) };
        if found.find(name).is_none() {
            return Ok(Removed::Unchanged);
        }
        if found.role.is_none() {
            return Err(DestroyError::Foreign { name: full });
        }
        if cloned {
            return Err(DestroyError::HasDependents { name: full });
        }
        found.taken.retain(|taken| taken.snapshot.name != *name);
        Ok(Removed::Removed)
    }

    pub(super) fn destroy(&mut self, name: &DatasetName) -> Result<Removed, DestroyError> {
        let dependents = !self.children(name).is_empty() || self.has_clones(name, None);
        let Some(found) = self.file_systems.get_mut(name) else { return Ok(Removed::Unchanged) };
        if found.role.is_none() {
            return Err(DestroyError::Foreign { name: name.to_string() });
        }
        if dependents {
            return Err(DestroyError::HasDependents { name: name.to_string() });
        }
        if let Some(snapshot) = self.foreign_snapshots.get(name) {
            let (name, snapshot) = (name.to_string(), format!("{name}@{snapshot}"));
            return Err(DestroyError::ForeignSnapshot { name, snapshot });
        }
        if self.busy.contains(name) {
            return Err(DestroyError::Busy { name: name.to_string() });
        }
        found
            .unmount()
            .map_err(|error| DestroyError::Other { name: name.to_string(), source: disk(&error) })?;
        if self.held.contains(name) {
            return Err(DestroyError::Busy { name: name.to_string() });
        }
        if let (Some(Role::View), Some(path)) = (found.role, &found.mountpoint) {
            // As with the real one: ours only while empty.
            drop(std::fs::remove_dir(path));
        }
        self.file_systems.remove(name);
        Ok(Removed::Removed)
    }

    pub(super) fn clone_snapshot(
        &mut self,
        of: &DatasetName,
        snapshot: &SnapshotName,
        clone: &DatasetName,
        at: &Path,
    ) -> Result<Made, CloneError> {
        let other = |source| CloneError::Other { of: of.clone(), snapshot: snapshot.clone(), source };
        let held = self.held.contains(clone);
        match self.file_systems.get_mut(clone) {
            Some(found) if found.role != Some(Role::View) => Err(CloneError::Foreign { name: clone.clone() }),
            Some(found) if found.origin != Some((of.clone(), snapshot.clone())) => {
                Err(other(other_origin(clone)))
            }
            Some(found) if held && !found.mounted => Err(CloneError::Held { name: clone.clone() }),
            Some(found) => found.mount_at(at).map(|()| Made::Unchanged).map_err(|e| other(disk(&e))),
            None => self.clone_new(of, snapshot, clone, at),
        }
    }

    fn clone_new(
        &mut self,
        of: &DatasetName,
        snapshot: &SnapshotName,
        clone: &DatasetName,
        at: &Path,
    ) -> Result<Made, CloneError> {
        let other = |source| CloneError::Other { of: of.clone(), snapshot: snapshot.clone(), source };
        let missing = || CloneError::Missing { of: of.clone(), snapshot: snapshot.clone() };
        let taken = self.file_systems.get(of).and_then(|found| found.find(snapshot)).ok_or_else(missing)?;
        let tree = taken.tree.clone();
        if !self.has_parent(clone) {
            return Err(other(ZfsFailure::Unexpected {
                command: format!("clone {clone}"),
                stderr: "parent does not exist".to_owned(),
            }));
        }
        let made = self.insert(clone, Some(Role::View));
        (made.head, made.origin) = (tree, Some((of.clone(), snapshot.clone())));
        made.mount_at(at).map(|()| Made::Created).map_err(|error| other(disk(&error)))
    }
}

fn other_origin(clone: &DatasetName) -> ZfsFailure {
    ZfsFailure::Answer {
        command: format!("origin of {clone}"),
        got: "another snapshot".to_owned(),
        wanted: "the snapshot to clone",
    }
}
