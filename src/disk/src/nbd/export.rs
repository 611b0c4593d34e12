//! Listening for clients of an export.

use super::{BlockSource, ReadTrace, session};
use bootstash_base::error::Classified;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// Clients served at once; a client can have 32 MiB in flight, and as much in buffers that are kept.
const MAX_CONNECTIONS: usize = 8;

/// A running export, under the empty name. Dropping it ends it, its connections included, and
/// removes the socket that it made.
#[derive(Debug)]
pub struct Export {
    trace: Arc<ReadTrace>,
    _serves: AbortOnDropHandle<()>,
    _socket: Option<Socket>,
}

/// A socket's file, removed on drop.
#[derive(Debug)]
struct Socket(PathBuf);

/// An export could not be started.
#[derive(Debug, thiserror::Error, Classified)]
#[error("cannot listen on {}", .socket.display())]
#[class(operator)]
pub struct ExportError {
    /// The socket.
    pub socket: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl Export {
    /// Serves `source` on a new socket at `socket`.
    ///
    /// # Errors
    /// Where the socket cannot be made.
    pub fn start(socket: &Path, source: Arc<dyn BlockSource>) -> Result<Self, ExportError> {
        let listener =
            UnixListener::bind(socket).map_err(|source| ExportError { socket: socket.to_owned(), source })?;
        Ok(Self { _socket: Some(Socket(socket.to_owned())), ..Self::serve(listener, source) })
    }

    /// Serves `source` to whoever comes to `listener`, whose socket is its maker's to remove.
    pub fn serve(listener: UnixListener, source: Arc<dyn BlockSource>) -> Self {
        let trace = Arc::new(ReadTrace::new());
        let serving = tokio::spawn(accept(listener, source, Arc::clone(&trace)));
        Self { trace, _serves: AbortOnDropHandle::new(serving), _socket: None }
    }

    /// What has been read through it.
    pub fn trace(&self) -> &ReadTrace {
        &self.trace
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(socket = %self.0.display(), %error, "a socket could not be removed");
        }
    }
}

async fn accept(listener: UnixListener, source: Arc<dyn BlockSource>, trace: Arc<ReadTrace>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            client = listener.accept(), if connections.len() < MAX_CONNECTIONS => match client {
                Ok((stream, _)) => {
                    let (source, trace) = (Arc::clone(&source), Arc::clone(&trace));
                    connections.spawn(async move { session::serve(stream, &*source, &trace).await });
                }
                // Out of descriptors, most likely: one may come free with the next connection's end.
                Err(error) => tracing::warn!(%error, "a client of an export was not accepted"),
            },
            Some(end) = connections.join_next() => {
                if let Ok(Err(error)) = end {
                    tracing::debug!(%error, "a client of an export was cut off");
                }
            }
        }
    }
}
