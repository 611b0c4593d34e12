//! What is asked of the kernel for each connection.

use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;

/// A peer that is gone without a word is asked after so long, and then so often.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
/// What is sent and not taken for so long ends the connection, also where it was acknowledged that there
/// is no room for it (TCP_USER_TIMEOUT of tcp(7)).
const UNTAKEN: Duration = Duration::from_secs(90);

pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(UNTAKEN))
}
