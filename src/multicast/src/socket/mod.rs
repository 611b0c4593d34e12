//! The only place of multicast that touches sockets: a [`SenderSocket`] sends, a [`ReceiverSocket`] receives.
//!
//! Promises: both use the interface they were given and no other; a receiver gets what is sent to its group and nothing that
//! others send to its port. Where the kernel or the card cannot segment or gather datagrams, they go one by
//! one.

mod interface;
mod membership;
mod receiver;
mod sender;
#[cfg(test)]
mod tests;

pub use interface::{Interface, InterfaceError};
pub use membership::Joined;
pub use receiver::ReceiverSocket;
pub use sender::{BATCH, SendError, SenderSocket};

use super::Group;
use socket2::{InterfaceIndexOrAddress, Socket};
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

/// A socket for multicast cannot be had.
#[derive(Debug, thiserror::Error, bootstash_base::error::Classified)]
#[error("cannot {action} multicast group {group} on {interface}")]
#[class(operator)]
pub struct SocketError {
    /// What was tried.
    pub action: &'static str,
    /// The multicast group.
    pub group: Group,
    /// The network interface's name and address.
    pub interface: String,
    /// What the operating system said.
    pub source: io::Error,
}

/// Where datagrams to the group go on this interface: IPv6 groups of a link are one on each.
fn destination(group: Group, interface: &Interface) -> SocketAddr {
    match group.ip() {
        IpAddr::V4(ip) => SocketAddr::from((ip, group.port())),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, group.port(), 0, interface.index()).into(),
    }
}

fn join(socket: &Socket, group: Group, interface: &Interface) -> io::Result<()> {
    match group.ip() {
        IpAddr::V4(ip) => socket.join_multicast_v4_n(&ip, &InterfaceIndexOrAddress::Index(interface.index())),
        IpAddr::V6(ip) => socket.join_multicast_v6(&ip, interface.index()),
    }
}
