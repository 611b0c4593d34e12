//! Addresses for daemons that tests start, stop and start again at the same place.
//!
//! Promises: none is given twice by one process, and none is among those that the kernel takes for outgoing
//! connections, any of which could be in the way when a daemon comes back.

use anyhow::{Context, Result};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the kernel's own, which begin at 32768.
const FIRST_PORT: u16 = 20_000;
const LAST_PORT: u16 = 32_000;

/// A free address on loopback.
pub(crate) fn free_address() -> Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes begin at places of their own.
    let begin = u16::try_from(std::process::id() % u32::from(LAST_PORT - FIRST_PORT))?;
    let mut left = 0..LAST_PORT - FIRST_PORT;
    left.find_map(|_| {
        let offset = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % (LAST_PORT - FIRST_PORT);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST_PORT + offset));
        TcpListener::bind(address).is_ok().then_some(address)
    })
    .context("no port is free")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_another() {
        let (one, two) = (free_address().unwrap(), free_address().unwrap());
        assert!(one != two && one.port() < LAST_PORT && two.port() >= FIRST_PORT);
    }
}
