//! Listening on a Unix socket, in the place of a daemon that died but not of one that lives.

use bootstash_base::error::Classified;
use bootstash_base::names::GroupName;
use nix::unistd::{Gid, Group};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};

/// Root may order, and nobody else.
const ROOT_ALONE: u32 = 0o600;
/// Root and the socket's group may.
const WITH_GROUP: u32 = 0o660;

/// A socket could not be listened on.
#[derive(Debug, Error, Classified)]
pub enum ListenError {
    /// Somebody answers there.
    #[error("another daemon answers on {}; stop it first, or give this one another socket", .path.display())]
    #[class(busy)]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// There is something else.
    #[error("{} exists and is no socket; remove it, or configure another socket", .path.display())]
    #[class(operator)]
    NoSocket {
        /// The socket.
        path: PathBuf,
    },
    /// The socket cannot be made or bound.
    #[error("cannot listen on {}", .path.display())]
    #[class(operator)]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Listens on `path`, making its directory, for root and the members of `group`. Where the host has no such
/// group, for root alone.
///
/// # Errors
/// See [`ListenError`].
pub async fn listen(path: &Path, group: &GroupName) -> Result<UnixListener, ListenError> {
    clear(path).await?;
    bind(path, group).map_err(|source| ListenError::Io { path: path.to_owned(), source })
}

async fn clear(path: &Path) -> Result<(), ListenError> {
    let Ok(metadata) = path.symlink_metadata() else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(ListenError::NoSocket { path: path.to_owned() });
    }
    // One that is too busy to take another caller lives, too.
    if !is_refused(&UnixStream::connect(path).await) {
        return Err(ListenError::Taken { path: path.to_owned() });
    }
    fs::remove_file(path).map_err(|source| ListenError::Io { path: path.to_owned(), source })
}

fn is_refused(connected: &io::Result<UnixStream>) -> bool {
    connected.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

fn bind(path: &Path, group: &GroupName) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let group = known(group, path)?;
    let listener = UnixListener::bind(path)?;
    // First for root alone: at no moment may the group we had before.
    fs::set_permissions(path, Permissions::from_mode(ROOT_ALONE))?;
    if let Some(group) = group {
        nix::unistd::chown(path, None, Some(group))?;
        fs::set_permissions(path, Permissions::from_mode(WITH_GROUP))?;
    }
    Ok(listener)
}

/// The group's number; none where it adds nobody to root.
fn known(group: &GroupName, path: &Path) -> io::Result<Option<Gid>> {
    let found = Group::from_name(group.as_str())?;
    if found.is_none() {
        tracing::info!(
            "this host has no group {group}, so that only root may use {}; `groupadd --system {group}` makes it, \
             and a restart gives it the socket",
            path.display()
        );
    }
    Ok(found.map(|found| found.gid).filter(|gid| gid.as_raw() != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn root() -> GroupName {
        GroupName::root()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a_group_that_exists_may_use_it_and_one_that_does_not_leaves_it_to_root() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.sock");
        drop(listen(&path, &"bootstash-no-such-group".parse().unwrap()).await.unwrap());
        assert_eq!(mode(&path), ROOT_ALONE);
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        drop(listen(&path, &"daemon".parse().unwrap()).await.unwrap());
        let daemon = Group::from_name("daemon").unwrap().unwrap().gid.as_raw();
        assert_eq!((mode(&path), fs::metadata(&path).unwrap().gid()), (WITH_GROUP, daemon));
    }

    #[tokio::test]
    async fn a_daemon_that_is_too_busy_to_answer_keeps_its_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.sock");
        let listener = listen(&path, &root()).await.unwrap();
        let mut waiting = Vec::new();
        // Nobody accepts: the backlog fills up.
        while let Ok(caller) = UnixStream::connect(&path).await {
            waiting.push(caller);
        }
        assert!(matches!(listen(&path, &root()).await, Err(ListenError::Taken { .. })));
        drop(listener);
    }

    #[tokio::test]
    async fn replaces_a_dead_socket_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/agent.sock");
        let first = listen(&path, &root()).await.unwrap();
        assert_eq!(mode(&path), ROOT_ALONE);
        assert!(matches!(listen(&path, &root()).await, Err(ListenError::Taken { .. })));
        drop(first);
        drop(listen(&path, &root()).await.unwrap());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(matches!(listen(&path, &root()).await, Err(ListenError::NoSocket { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }
}
