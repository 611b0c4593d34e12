//! Who asks on the command's socket.

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use bootstash_base::impersonate::UnixPeer;
use tokio::net::UnixListener;

/// The user at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub UnixPeer);

/// For a caller whom the kernel does not name: the user who owns nothing.
const NOBODY: u32 = 65534;

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self(UnixPeer::of(stream.io()).unwrap_or_else(|_| UnixPeer::numbered(NOBODY, NOBODY)))
    }
}
