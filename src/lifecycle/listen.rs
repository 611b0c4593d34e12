//! A daemon's Unix socket, and ending its connections in time.

use crate::fault::{Fault, FaultKind};
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

/// The socket could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another daemon listens there.
    #[error("another daemon listens on {}; stop it first, or give this one another socket", .path.display())]
    Taken {
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
            Self::Io { .. } => FaultKind::Operator,
        }
    }
}

/// Listens on a Unix socket that owner and group may use (0660). A socket that a dead daemon left is
/// replaced, a live one is not.
///
/// # Errors
/// See [`ListenError`].
pub fn bind_unix(path: &Path) -> Result<UnixListener, ListenError> {
    let io_error = |source| ListenError::Io { path: path.to_owned(), source };
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(ListenError::Taken { path: path.to_owned() });
    }
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(io_error)?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(error)),
        _ => (),
    }
    let listener = UnixListener::bind(path).map_err(io_error)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o660)).map_err(io_error)?;
    Ok(listener)
}

/// Serves until `stop` is cancelled, then lets connections end for at most `grace`.
///
/// # Errors
/// What serving met.
pub async fn shut_down_within(
    grace: Duration,
    stop: &CancellationToken,
    serving: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    tokio::pin!(serving);
    tokio::select! {
        served = &mut serving => return served,
        () = stop.cancelled() => (),
    }
    tokio::time::timeout(grace, serving).await.unwrap_or(Ok(()))
}
