//! A network interface: by its name, or as the one that leads to a host.

use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

/// An interface of this host, as it was when looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    name: String,
    index: u32,
    addresses: Vec<IpAddr>,
}

/// There is no such interface.
#[derive(Debug, thiserror::Error, bootstash_base::error::Classified)]
#[class(operator)]
pub enum InterfaceError {
    /// None of that name.
    #[error(
        "there is no network interface {name:?} here (there are {present}); set multicast.interface to one of them"
    )]
    Unknown {
        /// As given.
        name: String,
        /// Those there are.
        present: String,
    },
    /// None leads there.
    #[error("no network interface leads to {host}; set multicast.interface")]
    NoRoute {
        /// The host to reach.
        host: SocketAddr,
        /// Why, where the kernel told.
        source: Option<io::Error>,
    },
    /// They cannot be listed.
    #[error("the network interfaces of this host cannot be listed")]
    List(#[source] io::Error),
}

impl Interface {
    /// The one of this name.
    ///
    /// # Errors
    /// Where there is none.
    pub fn named(name: &str) -> Result<Self, InterfaceError> {
        let all = addresses()?;
        let unknown = || {
            let mut present: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
            present.dedup();
            InterfaceError::Unknown { name: name.to_owned(), present: present.join(", ") }
        };
        let index = if_nametoindex(name).map_err(|_| unknown())?;
        let own = all.iter().filter(|(of, _)| of == name).filter_map(|(_, ip)| *ip);
        Ok(Self { name: name.to_owned(), index, addresses: own.collect() })
    }

    /// The one by which this host reaches another; nothing is sent.
    ///
    /// # Errors
    /// Where none leads there.
    pub fn towards(host: SocketAddr) -> Result<Self, InterfaceError> {
        let no_route = |source| InterfaceError::NoRoute { host, source };
        let from = source_address(host).map_err(|error| no_route(Some(error)))?;
        let all = addresses()?;
        let name = all.iter().find(|(_, ip)| *ip == Some(from)).map(|(name, _)| name);
        Self::named(name.ok_or_else(|| no_route(None))?)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number in the kernel.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Its first IPv4 address.
    pub fn ipv4(&self) -> Option<Ipv4Addr> {
        self.addresses.iter().find_map(|ip| match ip {
            IpAddr::V4(ip) => Some(*ip),
            IpAddr::V6(_) => None,
        })
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.addresses.first() {
            Some(ip) => write!(f, "{} ({ip})", self.name),
            None => f.write_str(&self.name),
        }
    }
}

fn source_address(host: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if host.is_ipv4() { [0, 0, 0, 0].into() } else { [0_u16; 8].into() };
    // A UDP socket that is connected has asked for the route, and sent nothing.
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(host)?;
    Ok(socket.local_addr()?.ip())
}

fn addresses() -> Result<Vec<(String, Option<IpAddr>)>, InterfaceError> {
    let all = getifaddrs().map_err(|error| InterfaceError::List(error.into()))?;
    let ip_of = |address: &nix::sys::socket::SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::from(address.ip())))
    };
    Ok(all.map(|one| (one.interface_name, one.address.as_ref().and_then(ip_of))).collect())
}
