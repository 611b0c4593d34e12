//! A connection between a node and its registrar that things happen to: it is cut, falls silent without an
//! end, or flips a bit; or somebody else answers.

use crate::enrolment;
use anyhow::Result;
use bootstash_net::identity::{CredentialStore, Credentials};
use std::collections::VecDeque;
use std::future::pending;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

/// As a proxy in front of a registrar answers that is overwhelmed.
const SERVER_ERROR: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\ncontent-type: text/html\r\n\
    content-length: 13\r\nconnection: close\r\n\r\n<h1>500</h1>\r\n";

/// What happens to one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mishap {
    /// It ends after the registrar has sent more than so many bytes on it.
    CutAfter(u64),
    /// From then on nothing passes either way, and nobody ends it.
    SilentAfter(u64),
    /// The byte there is another.
    FlippedAt(u64),
    /// Somebody else answers, with a server error.
    ServerError,
}

type Mishaps = Arc<Mutex<VecDeque<Mishap>>>;

/// Passes on what goes either way.
#[derive(Debug)]
pub(super) struct Cable {
    address: SocketAddr,
    mishaps: Mishaps,
    _task: AbortOnDropHandle<()>,
}

impl Cable {
    /// A cable to the one at `to`, whose state directory this is: so that what answers in its place can say so.
    pub(super) async fn to(to: SocketAddr, state_dir: &Path) -> Result<Self> {
        let state_dir = state_dir.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, mishaps) = (listener.local_addr()?, Mishaps::default());
        let task = tokio::spawn(serve(listener, to, state_dir, Arc::clone(&mishaps)));
        Ok(Self { address, mishaps, _task: AbortOnDropHandle::new(task) })
    }

    /// As an agent's configuration names it.
    pub(super) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// This happens to one connection to come, the first that comes so far; others pass.
    pub(super) fn plan(&self, mishap: Mishap) {
        lock(&self.mishaps).push_back(mishap);
    }

    /// Nothing more happens.
    pub(super) fn clear(&self) {
        lock(&self.mishaps).clear();
    }

    /// How many mishaps are yet to come.
    pub(super) fn planned(&self) -> usize {
        lock(&self.mishaps).len()
    }
}

fn lock(mishaps: &Mishaps) -> std::sync::MutexGuard<'_, VecDeque<Mishap>> {
    mishaps.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, to: SocketAddr, state_dir: PathBuf, mishaps: Mishaps) {
    while let Ok((near, _)) = listener.accept().await {
        let (mishaps, state_dir) = (Arc::clone(&mishaps), state_dir.clone());
        // Ends with its connection, and that with the test's runtime.
        tokio::spawn(async move {
            if take(&mishaps, |mishap| mishap == Mishap::ServerError).is_some() {
                let _ = answer(near, &state_dir).await;
            } else if let Ok(far) = TcpStream::connect(to).await {
                pass(near, far, &mishaps).await;
            }
        });
    }
}

async fn answer(near: TcpStream, state_dir: &Path) -> Result<()> {
    let store = CredentialStore::new(Credentials::load(&enrolment::dir_of(state_dir))?);
    let mut near = TlsAcceptor::from(Arc::new(store.server()?)).accept(near).await?;
    // A request fits; closing with one unread would take the answer away again.
    let _ = near.read(&mut vec![0; 64 << 10]).await?;
    near.write_all(SERVER_ERROR).await?;
    Ok(near.shutdown().await?)
}

async fn pass(near: TcpStream, far: TcpStream, mishaps: &Mishaps) {
    let ((mut near_read, mut near_write), (mut far_read, mut far_write)) =
        (near.into_split(), far.into_split());
    let forth = copy(&mut near_read, &mut far_write);
    let back = async {
        let (mut buffer, mut passed) = (vec![0; 64 << 10], 0);
        while let Ok(read @ 1..) = far_read.read(&mut buffer).await {
            let before = passed;
            passed += read as u64;
            match take(mishaps, |mishap| is_due(mishap, passed)) {
                Some(Mishap::CutAfter(_)) => return Ending::Cut,
                Some(Mishap::SilentAfter(_)) => return Ending::Silent,
                Some(Mishap::FlippedAt(at)) => flip(&mut buffer[..read], at.saturating_sub(before)),
                Some(Mishap::ServerError) | None => {}
            }
            if near_write.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
        Ending::Cut
    };
    let ending = tokio::select! {
        _ = forth => Ending::Cut,
        ending = back => ending,
    };
    if ending == Ending::Silent {
        // Both connections stay open, as where a router in between forgot about them.
        pending().await
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Cut,
    Silent,
}

fn flip(part: &mut [u8], at: u64) {
    if let Some(byte) = usize::try_from(at).ok().and_then(|at| part.get_mut(at)) {
        *byte ^= 1;
    }
}

fn is_due(mishap: Mishap, passed: u64) -> bool {
    match mishap {
        Mishap::CutAfter(bytes) | Mishap::SilentAfter(bytes) | Mishap::FlippedAt(bytes) => passed > bytes,
        Mishap::ServerError => false,
    }
}

/// Takes the first mishap away where its time has come.
fn take(mishaps: &Mishaps, is_due: impl FnOnce(Mishap) -> bool) -> Option<Mishap> {
    let mut mishaps = lock(mishaps);
    let due = mishaps.front().is_some_and(|mishap| is_due(*mishap));
    if due { mishaps.pop_front() } else { None }
}
