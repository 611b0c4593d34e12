//! Membership in a group without receiving from it: switches learn of it before something is sent, and their queries
//! are answered.

use super::{Interface, SocketError, join};
use crate::Group;
use socket2::{Domain, Protocol, Socket, Type};

/// Joined, until dropped. Its socket has no port, so that nothing fills its buffer.
#[derive(Debug)]
pub struct Joined {
    _socket: Socket,
    group: Group,
    interface: Interface,
}

impl Joined {
    /// Joins a group on an interface.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn new(group: Group, interface: &Interface) -> Result<Self, SocketError> {
        let failed = |source| SocketError { action: "join", group, interface: interface.to_string(), source };
        let domain = if group.ip().is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP)).map_err(failed)?;
        join(&socket, group, interface).map_err(failed)?;
        Ok(Self { _socket: socket, group, interface: interface.clone() })
    }

    /// Whether it is this group on this interface.
    pub fn is(&self, group: Group, interface: &Interface) -> bool {
        self.group == group && self.interface == *interface
    }
}
