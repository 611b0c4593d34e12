//! Sending to a group: many datagrams with one call where the kernel and the card can segment them.

use super::{Interface, SocketError, destination};
use crate::Group;
use quinn_udp::{Transmit, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Datagrams in one call. More would be a burst that switches with small buffers drop.
pub const BATCH: usize = 16;
/// How long to wait, and how often, for room in the card's queue.
const QUEUE_FULL_PAUSE: Duration = Duration::from_micros(500);
const QUEUE_FULL_TRIES: u32 = 1000;
/// An address of IPv6 cannot be sent from while the kernel looks whether another host has it (RFC 4862, 5.4):
/// a second or two after an interface came up.
const TENTATIVE_PAUSE: Duration = Duration::from_millis(100);
const TENTATIVE_TRIES: u32 = 50;

/// Sends to one group, on one interface.
#[derive(Debug)]
pub struct SenderSocket {
    socket: Socket,
    state: UdpSocketState,
    to: SocketAddr,
    interface: String,
}

/// Datagrams could not be sent.
#[derive(Debug, thiserror::Error, bootstash_base::error::Classified)]
#[class(operator)]
pub enum SendError {
    /// They do not fit the interface.
    #[error("datagrams of {bytes} bytes do not fit {interface}; lower multicast.symbol_bytes by as much as its MTU is below {}", bytes + 28)]
    TooLong {
        /// Each of them.
        bytes: usize,
        /// The network interface's name and address.
        interface: String,
    },
    /// The kernel does not send it.
    #[error("cannot send to {to} on {interface}")]
    Io {
        /// The group's address and port.
        to: SocketAddr,
        /// The network interface's name and address.
        interface: String,
        /// What the operating system said.
        source: io::Error,
    },
}

impl SenderSocket {
    /// A socket that sends to the group, at most `ttl` routers far.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn open(group: Group, interface: &Interface, ttl: u8) -> Result<Self, SocketError> {
        let opened = open(group, interface, ttl);
        let (socket, state) = opened.map_err(|source| SocketError {
            action: "send to",
            group,
            interface: interface.to_string(),
            source,
        })?;
        Ok(Self { socket, state, to: destination(group, interface), interface: interface.to_string() })
    }

    /// Sends datagrams that lie one after the other in `batch`, each of `datagram_bytes` but the last, which
    /// may be shorter. Waits for room for up to half a second, and up to five for the interface's address to
    /// become usable.
    ///
    /// # Errors
    /// Where they do not go out; some of them may have.
    pub fn send(&self, batch: &[u8], datagram_bytes: usize) -> Result<(), SendError> {
        let at_once = self.state.max_gso_segments().min(BATCH);
        batch.chunks(at_once * datagram_bytes).try_for_each(|part| self.send_part(part, datagram_bytes))
    }

    fn send_part(&self, part: &[u8], datagram_bytes: usize) -> Result<(), SendError> {
        match self.send_unless_full(part, Some(datagram_bytes)) {
            // The card cannot segment them after all. The state remembers; these go one by one.
            Err(error) if part.len() > datagram_bytes && cannot_segment(&error) => part
                .chunks(datagram_bytes)
                .try_for_each(|one| self.send_unless_full(one, None))
                .map_err(|error| self.error(error, datagram_bytes)),
            sent => sent.map_err(|error| self.error(error, datagram_bytes)),
        }
    }

    fn send_unless_full(&self, contents: &[u8], segment_size: Option<usize>) -> io::Result<()> {
        let transmit = Transmit { destination: self.to, ecn: None, contents, segment_size, src_ip: None };
        retry(|| self.state.try_send((&self.socket).into(), &transmit), std::thread::sleep)
    }

    fn error(&self, source: io::Error, bytes: usize) -> SendError {
        let interface = self.interface.clone();
        if source.raw_os_error() == Some(nix::errno::Errno::EMSGSIZE as i32) {
            return SendError::TooLong { bytes, interface };
        }
        SendError::Io { to: self.to, interface, source }
    }
}

fn open(group: Group, interface: &Interface, ttl: u8) -> io::Result<(Socket, UdpSocketState)> {
    let socket = match group.ip() {
        IpAddr::V4(_) => {
            let own = interface.ipv4().ok_or_else(|| io::Error::other("it has no IPv4 address"))?;
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
            socket.set_multicast_if_v4(&own)?;
            socket.set_multicast_ttl_v4(ttl.into())?;
            socket
        }
        IpAddr::V6(_) => {
            let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
            socket.set_multicast_if_v6(interface.index())?;
            socket.set_multicast_hops_v6(ttl.into())?;
            socket
        }
    };
    let state = UdpSocketState::new((&socket).into())?;
    Ok((socket, state))
}

/// Tries again, after a pause, while what is in the way goes by itself.
fn retry(mut send: impl FnMut() -> io::Result<()>, mut pause: impl FnMut(Duration)) -> io::Result<()> {
    let (mut full, mut tentative) = (0, 0);
    loop {
        match send() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                full += 1;
                if full == QUEUE_FULL_TRIES {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                pause(QUEUE_FULL_PAUSE);
            }
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable && tentative < TENTATIVE_TRIES => {
                tentative += 1;
                pause(TENTATIVE_PAUSE);
            }
            other => return other,
        }
    }
}

fn cannot_segment(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EIO | Errno::EINVAL | Errno::EOPNOTSUPP))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result of sending where the first tries fail, and the time that was waited.
    fn sent_after(failures: u32, kind: io::ErrorKind) -> (io::Result<()>, Duration) {
        let (mut left, mut waited) = (failures, Duration::ZERO);
        let send = || match left.checked_sub(1) {
            Some(fewer) => {
                left = fewer;
                Err(kind.into())
            }
            None => Ok(()),
        };
        let result = retry(send, |pause| waited += pause);
        (result, waited)
    }

    #[test]
    fn an_address_that_is_still_tentative_is_waited_for() {
        let (result, waited) = sent_after(20, io::ErrorKind::AddrNotAvailable);
        result.unwrap();
        assert_eq!(waited, Duration::from_secs(2));
    }

    #[test]
    fn no_wait_is_without_end() {
        let (result, waited) = sent_after(u32::MAX, io::ErrorKind::AddrNotAvailable);
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
        assert_eq!(waited, Duration::from_secs(5));
        let (result, waited) = sent_after(u32::MAX, io::ErrorKind::WouldBlock);
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(waited < Duration::from_secs(1));
        let (result, waited) = sent_after(u32::MAX, io::ErrorKind::PermissionDenied);
        assert_eq!((result.unwrap_err().kind(), waited), (io::ErrorKind::PermissionDenied, Duration::ZERO));
    }
}
