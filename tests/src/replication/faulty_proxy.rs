//! A proxy between a node and its registrar that injects faults: a connection is cut, falls silent without an
//! end, or flips a bit; or somebody else answers.

use crate::enrolment;
use anyhow::Result;
use bootstash_net::identity::{CredentialStore, Credentials};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::future::pending;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

/// As a proxy in front of a registrar answers that is overwhelmed.
const SERVER_ERROR: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\ncontent-type: text/html\r\n\
    content-length: 13\r\nconnection: close\r\n\r\n<h1>500</h1>\r\n";

/// A fault of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It ends after the registrar has sent more than this many bytes on it.
    CutAfter(u64),
    /// From then on nothing passes either way, and nobody ends it.
    SilentAfter(u64),
    /// The byte there is another.
    FlippedAt(u64),
    /// Somebody else answers, with a server error.
    ServerError,
}

type Faults = Arc<Mutex<VecDeque<Fault>>>;

/// Passes on what either side sends, but for the faults that are planned.
#[derive(Debug)]
pub(super) struct FaultyProxy {
    address: SocketAddr,
    faults: Faults,
    _task: AbortOnDropHandle<()>,
}

impl FaultyProxy {
    /// A proxy to the server at `to`, whose state directory this is: so that what answers in its place can say so.
    pub(super) async fn to(to: SocketAddr, state_dir: &Path) -> Result<Self> {
        let state_dir = state_dir.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, faults) = (listener.local_addr()?, Faults::default());
        let task = tokio::spawn(serve(listener, to, state_dir, Arc::clone(&faults)));
        Ok(Self { address, faults, _task: AbortOnDropHandle::new(task) })
    }

    /// As an agent's configuration names it.
    pub(super) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Plans a fault for one connection to come, the first that gets so far; others pass.
    pub(super) fn plan(&self, fault: Fault) {
        lock(&self.faults).push_back(fault);
    }

    /// Forgets the faults that are planned.
    pub(super) fn clear(&self) {
        lock(&self.faults).clear();
    }

    /// How many faults are yet to come.
    pub(super) fn planned(&self) -> usize {
        lock(&self.faults).len()
    }
}

fn lock(faults: &Faults) -> parking_lot::MutexGuard<'_, VecDeque<Fault>> {
    faults.lock()
}

async fn serve(listener: TcpListener, to: SocketAddr, state_dir: PathBuf, faults: Faults) {
    while let Ok((client, _)) = listener.accept().await {
        let (faults, state_dir) = (Arc::clone(&faults), state_dir.clone());
        // Ends with its connection, and that with the test's runtime.
        tokio::spawn(async move {
            if take(&faults, |fault| fault == Fault::ServerError).is_some() {
                drop(answer(client, &state_dir).await);
            } else if let Ok(server) = TcpStream::connect(to).await {
                pass(client, server, &faults).await;
            }
        });
    }
}

async fn answer(client: TcpStream, state_dir: &Path) -> Result<()> {
    let store = CredentialStore::new(Credentials::load(&enrolment::dir_of(state_dir))?);
    let mut client = TlsAcceptor::from(Arc::new(store.server()?)).accept(client).await?;
    // A request fits; closing with one unread would take the answer away again.
    let _ = client.read(&mut vec![0; 64 << 10]).await?;
    client.write_all(SERVER_ERROR).await?;
    Ok(client.shutdown().await?)
}

async fn pass(client: TcpStream, server: TcpStream, faults: &Faults) {
    let ((mut client_read, mut client_write), (mut server_read, mut server_write)) =
        (client.into_split(), server.into_split());
    let requests = copy(&mut client_read, &mut server_write);
    let replies = async {
        let (mut buffer, mut passed) = (vec![0; 64 << 10], 0);
        while let Ok(read @ 1..) = server_read.read(&mut buffer).await {
            let before = passed;
            passed += read as u64;
            match take(faults, |fault| is_due(fault, passed)) {
                Some(Fault::CutAfter(_)) => return ConnectionEnd::Cut,
                Some(Fault::SilentAfter(_)) => return ConnectionEnd::Silent,
                Some(Fault::FlippedAt(at)) => flip(&mut buffer[..read], at.saturating_sub(before)),
                Some(Fault::ServerError) | None => {}
            }
            if client_write.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
        ConnectionEnd::Cut
    };
    let end = tokio::select! {
        _ = requests => ConnectionEnd::Cut,
        end = replies => end,
    };
    if end == ConnectionEnd::Silent {
        // Both connections stay open, as where a router in between forgot about them.
        pending().await
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ConnectionEnd {
    Cut,
    Silent,
}

fn flip(part: &mut [u8], at: u64) {
    if let Some(byte) = usize::try_from(at).ok().and_then(|at| part.get_mut(at)) {
        *byte ^= 1;
    }
}

fn is_due(fault: Fault, passed: u64) -> bool {
    match fault {
        Fault::CutAfter(bytes) | Fault::SilentAfter(bytes) | Fault::FlippedAt(bytes) => passed > bytes,
        Fault::ServerError => false,
    }
}

/// Takes the first fault away where its time has come.
fn take(faults: &Faults, is_due: impl FnOnce(Fault) -> bool) -> Option<Fault> {
    let mut faults = lock(faults);
    let due = faults.front().is_some_and(|fault| is_due(*fault));
    if due { faults.pop_front() } else { None }
}
