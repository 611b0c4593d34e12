//! Listening on a Unix socket, in the place of a daemon that died but not of one that lives.

use crate::fault::{Fault, FaultKind};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};

/// Root and the socket's group may order; nobody else.
const MODE: u32 = 0o660;

/// A socket could not be listened on.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Somebody answers there.
    #[error("another daemon answers on {}; stop it first, or give this one another socket", .path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// There is something else.
    #[error("{} exists and is no socket; remove it, or configure another socket", .path.display())]
    NoSocket {
        /// The socket.
        path: PathBuf,
    },
    /// Anything else.
    #[error("cannot listen on {}", .path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Fault for ListenError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Taken { .. } => FaultKind::Busy,
            Self::NoSocket { .. } | Self::Io { .. } => FaultKind::Operator,
        }
    }
}

/// Listens on `path`, making its directory.
///
/// # Errors
/// See [`ListenError`].
pub async fn listen(path: &Path) -> Result<UnixListener, ListenError> {
    clear(path).await?;
    bind(path).map_err(|source| ListenError::Io { path: path.to_owned(), source })
}

async fn clear(path: &Path) -> Result<(), ListenError> {
    let Ok(metadata) = path.symlink_metadata() else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(ListenError::NoSocket { path: path.to_owned() });
    }
    if UnixStream::connect(path).await.is_ok() {
        return Err(ListenError::Taken { path: path.to_owned() });
    }
    fs::remove_file(path).map_err(|source| ListenError::Io { path: path.to_owned(), source })
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(MODE))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn replaces_a_dead_socket_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/agent.sock");
        let first = listen(&path).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        assert!(matches!(listen(&path).await, Err(ListenError::Taken { .. })));
        drop(first);
        drop(listen(&path).await.unwrap());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(matches!(listen(&path).await, Err(ListenError::NoSocket { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }
}
