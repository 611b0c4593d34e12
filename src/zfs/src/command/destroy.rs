//! Destroys what is ours, and only that.

use super::CommandZfs;
use super::dead_mount;
use super::probe::failure;
use super::run::Answer;
use super::stderr::{self, ZfsMessage};
use crate::busy_retry::BusyRetry;
use crate::{Dataset, DestroyError, Removed, Role, ZfsFailure};
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::names::{DatasetName, SnapshotName};

impl CommandZfs {
    pub(super) async fn remove_snapshot(
        &self,
        of: &DatasetName,
        name: &SnapshotName,
    ) -> Result<Removed, DestroyError> {
        let full = format!("{of}@{name}");
        let other = |source| DestroyError::Other { name: full.clone(), source };
        let Some(found) = self.find(of).await.map_err(other)? else { return Ok(Removed::Unchanged) };
        if self.find_snapshot(of, name).await.map_err(other)?.is_none() {
            return Ok(Removed::Unchanged);
        }
        if found.state.role.is_none() {
            return Err(DestroyError::Foreign { name: full });
        }
        self.destroy_patiently(&["destroy", &full], &full).await
    }

    pub(super) async fn remove_dataset(&self, name: &DatasetName) -> Result<Removed, DestroyError> {
        let other = |source| DestroyError::Other { name: name.to_string(), source };
        let Some(found) = self.find(name).await.map_err(other)? else { return Ok(Removed::Unchanged) };
        if found.state.role.is_none() {
            return Err(DestroyError::Foreign { name: name.to_string() });
        }
        // `-r` below takes snapshots along, and would take children: there must be none. Where a
        // snapshot has a clone, `-r` refuses before it has destroyed anything.
        if !self.child_names(name).await.map_err(other)?.is_empty() {
            return Err(DestroyError::HasDependents { name: name.to_string() });
        }
        self.refuse_cloned(name).await?;
        self.refuse_foreign_snapshots(name).await?;
        self.unmount(&found.state).await?;
        kill_point(KillPoint::ViewUnmounted);
        let removed = self.destroy_patiently(&["destroy", "-r", name.as_str()], name.as_str()).await?;
        kill_point(KillPoint::ViewDestroyed);
        remove_mountpoint(&found.state).await;
        Ok(removed)
    }

    /// A file system that stays because of a clone must stay mounted, too.
    async fn refuse_cloned(&self, name: &DatasetName) -> Result<(), DestroyError> {
        let other = |source| DestroyError::Other { name: name.to_string(), source };
        let args = ["list", "-H", "-o", "origin", "-t", "filesystem,volume", "-r", name.pool()];
        let origins = self.must(&args).await.map_err(other)?.stdout;
        let of_us = |origin: &str| origin.split_once('@').is_some_and(|(of, _)| of == name.as_str());
        match origins.lines().any(of_us) {
            true => Err(DestroyError::HasDependents { name: name.to_string() }),
            false => Ok(()),
        }
    }

    /// Whoever has snapshots taken of all of a pool has them of ours, too: theirs are theirs.
    async fn refuse_foreign_snapshots(&self, name: &DatasetName) -> Result<(), DestroyError> {
        let other = |source| DestroyError::Other { name: name.to_string(), source };
        let args = ["list", "-H", "-o", "name", "-t", "snapshot", "-r", "-d", "1", name.as_str()];
        let listed = self.must(&args).await.map_err(other)?.stdout;
        let is_ours =
            |full: &str| full.split_once('@').is_some_and(|(_, name)| name.parse::<SnapshotName>().is_ok());
        match listed.lines().find(|full| !is_ours(full)) {
            Some(snapshot) => {
                Err(DestroyError::ForeignSnapshot { name: name.to_string(), snapshot: snapshot.to_owned() })
            }
            None => Ok(()),
        }
    }

    /// Unmounting first shows whether it is in use, before anything of it is gone.
    async fn unmount(&self, state: &Dataset) -> Result<(), DestroyError> {
        let dead = match &state.mountpoint {
            Some(path) => dead_mount::detach(path).await,
            None => false,
        };
        if !state.mounted || dead {
            return Ok(());
        }
        let name = state.name.to_string();
        let answer = self.retry_busy(&["unmount", &name]).await;
        let answer = answer.map_err(|source| DestroyError::Other { name: name.clone(), source })?;
        match stderr::read(&answer.stderr) {
            _ if answer.ok => Ok(()),
            Some(ZfsMessage::NotMounted) => Ok(()),
            Some(ZfsMessage::Busy) => Err(DestroyError::Busy { name }),
            _ => Err(DestroyError::Other { name, source: failure(answer) }),
        }
    }

    async fn destroy_patiently(&self, args: &[&str], name: &str) -> Result<Removed, DestroyError> {
        let name = name.to_owned();
        let answer = match self.retry_busy(args).await {
            Ok(answer) => answer,
            Err(source) => return Err(DestroyError::Other { name, source }),
        };
        match stderr::read(&answer.stderr) {
            _ if answer.ok => Ok(Removed::Removed),
            Some(ZfsMessage::Missing) => Ok(Removed::Unchanged),
            Some(ZfsMessage::Busy) => Err(DestroyError::Busy { name }),
            Some(ZfsMessage::HasDependents) => Err(DestroyError::HasDependents { name }),
            _ => Err(DestroyError::Other { name, source: failure(answer) }),
        }
    }

    /// Runs `zfs` until what it is about is no longer in use.
    pub(super) async fn retry_busy(&self, args: &[&str]) -> Result<Answer, ZfsFailure> {
        let mut retry = BusyRetry::new(self.limits.busy);
        loop {
            let answer = self.call(args).await?;
            let busy = !answer.ok && stderr::read(&answer.stderr) == Some(ZfsMessage::Busy);
            if !busy || !retry.again().await {
                return Ok(answer);
            }
        }
    }
}

/// ZFS leaves the folder that a view was mounted on. It is ours only while empty, so that failing
/// to remove it is no failure.
async fn remove_mountpoint(state: &Dataset) {
    if let (Some(Role::View), Some(path)) = (state.role, &state.mountpoint) {
        drop(tokio::fs::remove_dir(path).await);
    }
}
