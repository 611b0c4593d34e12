//! Listening on an address that this host may not have yet.
//!
//! Promises: a daemon that starts before its network serves as soon as the address comes, by itself. So no unit has to
//! wait for `network-online.target`, which a cable that is not plugged in holds up for minutes.

use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// As many callers as the standard library lets wait.
const BACKLOG: i32 = 1024;

/// Listens on `address`. Where the host does not have it, that is said, and whoever calls it once it is there is answered.
///
/// # Errors
/// When another program listens there, and what else the system says.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
            let listener = listen_before_it_comes(address)?;
            tracing::warn!(
                "this host does not have the address {} yet; serving on it once it comes",
                address.ip()
            );
            Ok(listener)
        }
        bound => bound,
    }
}

/// `IP_FREEBIND`, see ip(7).
fn listen_before_it_comes(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    match address {
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => socket.set_freebind_v6(true)?,
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For documentation, so that no host has them (RFC 5737, RFC 3849).
    const NOT_HERE: [&str; 2] = ["192.0.2.7:7432", "[2001:db8::7]:7432"];

    #[tokio::test]
    async fn an_address_that_is_not_here_yet_can_be_listened_on_once() {
        for address in NOT_HERE {
            let address: SocketAddr = address.parse().unwrap();
            let bound = TcpListener::bind(address).await;
            if bound.is_err_and(|error| error.kind() != ErrorKind::AddrNotAvailable) {
                continue; // This host has no IPv6 at all.
            }
            let listener = listen(address).await.unwrap();
            assert_eq!(listener.local_addr().unwrap(), address);
            assert_eq!(listen(address).await.unwrap_err().kind(), ErrorKind::AddrInUse);
        }
    }

    #[tokio::test]
    async fn one_that_is_here_is_served_at_once() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        listener.accept().await.unwrap();
    }
}
