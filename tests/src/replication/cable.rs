//! A connection between a node and its registrar that can be cut: each is ended after so many bytes.

use anyhow::Result;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// Passes on what goes either way.
#[derive(Debug)]
pub(super) struct Cable {
    address: SocketAddr,
    cuts: Arc<Mutex<VecDeque<u64>>>,
    _task: AbortOnDropHandle<()>,
}

impl Cable {
    /// A cable to the registrar at `to`.
    pub(super) async fn to(to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, cuts) = (listener.local_addr()?, Arc::new(Mutex::new(VecDeque::new())));
        let task = tokio::spawn(serve(listener, to, Arc::clone(&cuts)));
        Ok(Self { address, cuts, _task: AbortOnDropHandle::new(task) })
    }

    /// As an agent's configuration names it.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// One connection to come ends after the registrar has sent more than so many bytes on it; others pass.
    pub(super) fn cut_after(&self, bytes: u64) {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner).push_back(bytes);
    }

    /// How many cuts are yet to come.
    pub(super) fn cuts_left(&self) -> usize {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

async fn serve(listener: TcpListener, to: SocketAddr, cuts: Arc<Mutex<VecDeque<u64>>>) {
    while let Ok((near, _)) = listener.accept().await {
        let cuts = Arc::clone(&cuts);
        // Ends with its connection, and that with the test's runtime.
        tokio::spawn(async move {
            if let Ok(far) = TcpStream::connect(to).await {
                pass(near, far, &cuts).await;
            }
        });
    }
}

async fn pass(near: TcpStream, far: TcpStream, cuts: &Mutex<VecDeque<u64>>) {
    let ((mut near_read, mut near_write), (mut far_read, mut far_write)) =
        (near.into_split(), far.into_split());
    let forth = copy(&mut near_read, &mut far_write);
    let back = async {
        let (mut buffer, mut passed) = (vec![0; 64 << 10], 0);
        while let Ok(read @ 1..) = far_read.read(&mut buffer).await {
            passed += read as u64;
            let due = is_due(cuts, passed);
            if due || near_write.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        _ = forth => {}
        () = back => {}
    }
}

/// Takes the first cut away where its time has come.
fn is_due(cuts: &Mutex<VecDeque<u64>>, passed: u64) -> bool {
    let mut cuts = cuts.lock().unwrap_or_else(PoisonError::into_inner);
    let due = cuts.front().is_some_and(|cut| passed > *cut);
    if due {
        cuts.pop_front();
    }
    due
}
