//! Makes file systems, snapshots and clones, and mounts them.

use super::CommandZfs;
use super::dead_mount;
use super::probe::failure;
use super::read::Found;
use super::stderr::{self, ZfsMessage};
use crate::{
    CloneError, CreateError, Made, MountError, NewDataset, OWNER_PROPERTY, Owner, Property, ROLE_PROPERTY,
    Role, SNAPSHOT_ROLE, Snapshot, SnapshotError, ZfsFailure,
};
use bootstash_base::names::{DatasetName, SnapshotName};
use std::path::Path;

/// Why a file system is not mounted.
enum NotMounted {
    /// A mount of it that this process does not see is not gone.
    Held,
    Failed(ZfsFailure),
}

impl From<ZfsFailure> for NotMounted {
    fn from(failure: ZfsFailure) -> Self {
        Self::Failed(failure)
    }
}

impl CommandZfs {
    pub(super) async fn make_dataset(
        &self,
        name: &DatasetName,
        new: &NewDataset,
    ) -> Result<Made, CreateError> {
        let other = |source| CreateError::Other { name: name.clone(), source };
        match self.find(name).await.map_err(other)? {
            Some(found) if found.state.role == Some(new.role) => {
                self.adjust(&found, new).await.map_err(other)?;
                Ok(Made::Unchanged)
            }
            Some(_) => Err(CreateError::Foreign { name: name.clone() }),
            None => self.create_new(name, new).await,
        }
    }

    async fn create_new(&self, name: &DatasetName, new: &NewDataset) -> Result<Made, CreateError> {
        let mut settings =
            vec![format!("{ROLE_PROPERTY}={}", new.role), mountpoint(new.mountpoint.as_deref())];
        settings.extend(new.properties.iter().map(|&property| self.setting(property).to_owned()));
        let mut args = vec!["create"];
        args.extend(settings.iter().flat_map(|setting| ["-o", setting.as_str()]));
        args.push(name.as_str());
        let other = |source| CreateError::Other { name: name.clone(), source };
        let answer = self.call(&args).await.map_err(other)?;
        if answer.ok {
            return Ok(Made::Created);
        }
        let name = name.clone();
        Err(match stderr::read(&answer.stderr) {
            Some(ZfsMessage::NoParent | ZfsMessage::Missing | ZfsMessage::NoPool) => {
                CreateError::NoParent { name }
            }
            Some(ZfsMessage::NoSpace) => CreateError::NoSpace { name },
            _ => CreateError::Other { name, source: failure(answer) },
        })
    }

    /// Sets what was asked. The mount point only where it differs: setting it remounts.
    async fn adjust(&self, found: &Found, new: &NewDataset) -> Result<(), ZfsFailure> {
        let name = found.state.name.as_str();
        for &property in &new.properties {
            self.must(&["set", self.setting(property), name]).await?;
        }
        if found.state.mountpoint != new.mountpoint {
            self.must(&["set", &mountpoint(new.mountpoint.as_deref()), name]).await?;
        }
        Ok(())
    }

    pub(super) async fn set_owner(&self, name: &DatasetName, owner: &Owner) -> Result<Made, CreateError> {
        let other = |source| CreateError::Other { name: name.clone(), source };
        let Some(found) = self.find(name).await.map_err(other)? else {
            return Err(CreateError::NoParent { name: name.clone() });
        };
        match found.state.owner {
            _ if found.state.role.is_none() => Err(CreateError::Foreign { name: name.clone() }),
            Some(noted) if noted == owner.to_string() => Ok(Made::Unchanged),
            Some(noted) => {
                Err(CreateError::Owned { name: name.clone(), owner: noted, wanted: owner.clone() })
            }
            None => {
                let setting = format!("{OWNER_PROPERTY}={owner}");
                self.must(&["set", &setting, name.as_str()]).await.map_err(other)?;
                Ok(Made::Created)
            }
        }
    }

    fn setting(&self, property: Property) -> &'static str {
        match property {
            Property::Dedup => "dedup=on",
            Property::Compression if self.capabilities.zstd => "compression=zstd",
            Property::Compression => "compression=gzip-6",
            Property::RecordSize64K => "recordsize=64K",
            Property::NoAtime => "atime=off",
            Property::ReadOnly => "readonly=on",
        }
    }

    pub(super) async fn mount_dataset(&self, name: &DatasetName) -> Result<Made, MountError> {
        let other = |source| MountError::Other { name: name.clone(), source };
        let found = self.find(name).await.map_err(other)?;
        let found = found.ok_or_else(|| MountError::Missing { name: name.clone() })?;
        self.mount_found(&found).await.map_err(|failed| match failed {
            NotMounted::Held => MountError::Held { name: name.clone() },
            NotMounted::Failed(source) => other(source),
        })
    }

    async fn mount_found(&self, found: &Found) -> Result<Made, NotMounted> {
        let dead = match &found.state.mountpoint {
            Some(path) => dead_mount::detach(path).await,
            None => false,
        };
        if found.state.mounted && !dead {
            return Ok(Made::Unchanged);
        }
        // It is busy for a while after it was unmounted.
        let answer = self.retry_busy(&["mount", found.state.name.as_str()]).await?;
        match stderr::read(&answer.stderr) {
            _ if answer.ok => Ok(Made::Created),
            Some(ZfsMessage::AlreadyMounted) => Ok(Made::Unchanged),
            Some(ZfsMessage::Busy) => Err(NotMounted::Held),
            _ => Err(failure(answer).into()),
        }
    }

    pub(super) async fn take_snapshot(
        &self,
        of: &DatasetName,
        name: &SnapshotName,
    ) -> Result<Snapshot, SnapshotError> {
        let failed = |source| SnapshotError::Other { of: of.clone(), name: name.clone(), source };
        if let Some(there) = self.find_snapshot(of, name).await.map_err(failed)? {
            return Ok(there);
        }
        let role = format!("{ROLE_PROPERTY}={SNAPSHOT_ROLE}");
        let answer = self.call(&["snapshot", "-o", &role, &format!("{of}@{name}")]).await.map_err(failed)?;
        let (of, name) = (of.clone(), name.clone());
        if !answer.ok {
            return Err(match stderr::read(&answer.stderr) {
                Some(ZfsMessage::Missing) => SnapshotError::Missing { of, name },
                Some(ZfsMessage::NoSpace) => SnapshotError::NoSpace { of, name },
                // Whoever was killed can have done its work.
                _ => match self.find_snapshot(&of, &name).await {
                    Ok(Some(taken)) => return Ok(taken),
                    _ => SnapshotError::Other { of, name, source: failure(answer) },
                },
            });
        }
        let taken = self.find_snapshot(&of, &name).await.map_err(failed)?;
        taken.ok_or(SnapshotError::Missing { of, name })
    }

    pub(super) async fn make_bookmark(
        &self,
        of: &DatasetName,
        name: &SnapshotName,
    ) -> Result<Made, SnapshotError> {
        if !self.capabilities.bookmarks {
            return Ok(Made::Unchanged);
        }
        let failed = |source| SnapshotError::Other { of: of.clone(), name: name.clone(), source };
        let args = ["bookmark", &format!("{of}@{name}"), &format!("{of}#{name}")];
        let answer = self.call(&args).await.map_err(failed)?;
        match stderr::read(&answer.stderr) {
            _ if answer.ok => {
                self.drop_other_bookmarks(of, name).await.map_err(failed)?;
                Ok(Made::Created)
            }
            Some(ZfsMessage::Exists) => Ok(Made::Unchanged),
            Some(ZfsMessage::Missing) => Err(SnapshotError::Missing { of: of.clone(), name: name.clone() }),
            _ => Err(failed(failure(answer))),
        }
    }

    /// Those that bootstash named, but for one.
    pub(crate) async fn drop_other_bookmarks(
        &self,
        of: &DatasetName,
        name: &SnapshotName,
    ) -> Result<(), ZfsFailure> {
        let listed =
            self.must(&["list", "-H", "-o", "name", "-t", "bookmark", "-d", "1", of.as_str()]).await?;
        for line in listed.stdout.lines() {
            let bookmark = line.split_once('#').and_then(|(_, leaf)| leaf.parse::<SnapshotName>().ok());
            if bookmark.is_some_and(|bookmark| bookmark != *name) {
                self.must(&["destroy", line]).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn make_clone(
        &self,
        of: &DatasetName,
        snapshot: &SnapshotName,
        clone: &DatasetName,
        at: &Path,
    ) -> Result<Made, CloneError> {
        let other = |source| CloneError::Other { of: of.clone(), snapshot: snapshot.clone(), source };
        let origin = format!("{of}@{snapshot}");
        match self.find(clone).await.map_err(other)? {
            None => self.clone_new(of, snapshot, clone, at).await,
            Some(found) if found.state.role != Some(Role::View) => {
                Err(CloneError::Foreign { name: clone.clone() })
            }
            Some(found) if found.origin.as_deref() != Some(origin.as_str()) => {
                Err(other(other_origin(clone, &found)))
            }
            Some(found) => self.remount_clone(&found, at).await.map_err(|failed| match failed {
                NotMounted::Held => CloneError::Held { name: clone.clone() },
                NotMounted::Failed(source) => other(source),
            }),
        }
    }

    /// A clone that is there is not mounted after the host started anew.
    async fn remount_clone(&self, found: &Found, at: &Path) -> Result<Made, NotMounted> {
        if found.state.mountpoint.as_deref() != Some(at) {
            self.must(&["set", &mountpoint(Some(at)), found.state.name.as_str()]).await?;
        }
        self.mount_found(found).await.map(|_| Made::Unchanged)
    }

    async fn clone_new(
        &self,
        of: &DatasetName,
        snapshot: &SnapshotName,
        clone: &DatasetName,
        at: &Path,
    ) -> Result<Made, CloneError> {
        let failed = |source| CloneError::Other { of: of.clone(), snapshot: snapshot.clone(), source };
        let (role, at) = (format!("{ROLE_PROPERTY}={}", Role::View), mountpoint(Some(at)));
        let origin = format!("{of}@{snapshot}");
        let args = ["clone", "-o", &role, "-o", "readonly=on", "-o", &at, &origin, clone.as_str()];
        let answer = self.call(&args).await.map_err(failed)?;
        if answer.ok {
            return Ok(Made::Created);
        }
        if stderr::read(&answer.stderr) == Some(ZfsMessage::Missing) {
            return Err(CloneError::Missing { of: of.clone(), snapshot: snapshot.clone() });
        }
        // It can be there although its mount failed, and then it goes again. The first error tells why.
        drop(self.remove_dataset(clone).await);
        Err(failed(failure(answer)))
    }
}

fn other_origin(clone: &DatasetName, found: &Found) -> ZfsFailure {
    ZfsFailure::Answer {
        command: format!("zfs get origin {clone}"),
        got: found.origin.clone().unwrap_or_default(),
        wanted: "the snapshot to clone",
    }
}

fn mountpoint(path: Option<&Path>) -> String {
    path.map_or_else(|| "mountpoint=none".to_owned(), |path| format!("mountpoint={}", path.display()))
}
