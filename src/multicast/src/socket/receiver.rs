//! Receiving from a group: many datagrams with one call, and how many the kernel had no room for.

use super::{Interface, SocketError, destination, join};
use crate::Group;
use quinn_udp::{RecvMeta, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, IoSliceMut};
use std::net::IpAddr;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// What is asked of the kernel; it gives up to net.core.rmem_max.
const BUFFER_BYTES: usize = 32 << 20;
/// Calls' worth of datagrams at a time, each of which may be gathered from many.
const RECEIVE_BATCH: usize = 16;
const GRO_BYTES_MAX: usize = 65_535;

/// Receives what is sent to one group, on one interface.
#[derive(Debug)]
pub struct ReceiverSocket {
    socket: UdpSocket,
    state: UdpSocketState,
    buffer: Vec<u8>,
    buffer_bytes: usize,
}

impl ReceiverSocket {
    /// Joins the group, and listens.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn open(group: Group, interface: &Interface) -> Result<Self, SocketError> {
        let opened = open(group, interface);
        opened.map_err(|source| SocketError {
            action: "join",
            group,
            interface: interface.to_string(),
            source,
        })
    }

    /// How much the kernel holds for it, in bytes, with its own account of each datagram.
    pub fn buffer_bytes(&self) -> usize {
        self.buffer_bytes
    }

    /// How much was asked for.
    pub fn wanted_buffer_bytes(&self) -> usize {
        // The kernel doubles what it is asked for (socket(7)).
        2 * BUFFER_BYTES
    }

    /// Waits for datagrams, and passes each that is here to `take`. Cancel safe: none is lost.
    ///
    /// # Errors
    /// Where the socket is broken.
    pub async fn receive(&mut self, mut take: impl FnMut(&mut [u8])) -> io::Result<()> {
        let Self { socket, state, buffer, .. } = self;
        socket.readable().await?;
        let mut meta = [RecvMeta::default(); RECEIVE_BATCH];
        let received = socket.try_io(Interest::READABLE, || {
            let mut parts = buffer.chunks_mut(GRO_BYTES_MAX).map(IoSliceMut::new);
            let mut slices: [IoSliceMut<'_>; RECEIVE_BATCH] =
                std::array::from_fn(|_| parts.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
            state.recv((&*socket).into(), &mut slices, &mut meta)
        });
        let received = match received {
            // Ready once more than there was something.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            other => other?,
        };
        let parts = buffer.chunks_mut(GRO_BYTES_MAX).zip(&meta[..received]);
        for (part, meta) in parts.filter(|(_, meta)| meta.len > 0) {
            part[..meta.len].chunks_mut(meta.stride.max(1)).for_each(&mut take);
        }
        Ok(())
    }

    /// How many datagrams the kernel dropped here because they were not read in time; none where it does
    /// not tell.
    pub fn dropped(&self) -> Option<u64> {
        let inode = nix::sys::stat::fstat(&self.socket).ok()?.st_ino.to_string();
        // Of this thread: of the network it is in.
        ["/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"].iter().find_map(|path| {
            let table = std::fs::read_to_string(path).ok()?;
            dropped(&table, &inode)
        })
    }
}

/// From a table as `/proc/net/udp` has it: the tenth column is the inode, the last counts drops.
fn dropped(table: &str, inode: &str) -> Option<u64> {
    let row = table.lines().find(|line| line.split_whitespace().nth(9) == Some(inode))?;
    row.split_whitespace().next_back()?.parse().ok()
}

fn open(group: Group, interface: &Interface) -> io::Result<ReceiverSocket> {
    let domain = if group.ip().is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    // Another agent, or a doctor, may receive from the same group.
    socket.set_reuse_address(true)?;
    match group.ip() {
        // Else it would receive from groups that other programs on this host joined.
        IpAddr::V4(_) => socket.set_multicast_all_v4(false)?,
        IpAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_multicast_all_v6(false)?;
        }
    }
    // The group's own address: what is sent to the host's is not received.
    socket.bind(&destination(group, interface).into())?;
    join(&socket, group, interface)?;
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    let buffer_bytes = socket.recv_buffer_size()?;
    let state = UdpSocketState::new((&socket).into())?;
    Ok(ReceiverSocket {
        socket: UdpSocket::from_std(socket.into())?,
        state,
        buffer: vec![0; RECEIVE_BATCH * GRO_BYTES_MAX],
        buffer_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::dropped;

    #[test]
    fn drops_are_read_by_inode() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            17: 0142 4DEF:1D0A 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4242 2 0000 17\n";
        // The addresses are one column each.
        let table = table.replace("0142 4DEF", "01424DEF");
        assert_eq!(dropped(&table, "4242"), Some(17));
        assert_eq!(dropped(&table, "17"), None);
    }
}
