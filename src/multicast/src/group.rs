//! The address of a group, as configured and as announced: parsed once.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// A multicast address and a port, such as `239.77.66.1:7434` or `[ff05::7766]:7434`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Group(SocketAddr);

/// No group that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} {problem}; write a group as \"239.77.66.1:7434\" or \"[ff05::7766]:7434\"")]
pub struct GroupError {
    given: String,
    problem: &'static str,
}

impl Group {
    /// The address.
    pub fn ip(&self) -> IpAddr {
        self.0.ip()
    }

    /// The UDP port.
    pub fn port(&self) -> u16 {
        self.0.port()
    }
}

impl FromStr for Group {
    type Err = GroupError;

    fn from_str(text: &str) -> Result<Self, GroupError> {
        let wrong = |problem| GroupError { given: text.to_owned(), problem };
        let address: SocketAddr = text.parse().map_err(|_| wrong("is no address with a port"))?;
        match problem(address) {
            Some(problem) => Err(wrong(problem)),
            None => Ok(Self(address)),
        }
    }
}

/// Why switches or kernels would not do with it what is expected.
fn problem(address: SocketAddr) -> Option<&'static str> {
    if address.port() == 0 {
        return Some("has no port");
    }
    match address.ip() {
        ip if !ip.is_multicast() => Some("is no multicast address"),
        IpAddr::V4(ip) if floods(ip) => {
            Some("shares its Ethernet address with 224.0.0.x, which switches send everywhere")
        }
        IpAddr::V6(ip) if scope(ip) < 2 => Some("does not leave the host"),
        _ => None,
    }
}

/// Only 23 bits of a group are in its Ethernet address (RFC 1112, 6.4).
fn floods(ip: Ipv4Addr) -> bool {
    let [_, second, third, _] = ip.octets();
    second & 0x7f == 0 && third == 0
}

/// RFC 4291, 2.7.
fn scope(ip: Ipv6Addr) -> u8 {
    ip.octets()[1] & 0xf
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Group> for String {
    fn from(group: Group) -> Self {
        group.to_string()
    }
}

impl TryFrom<String> for Group {
    type Error = GroupError;

    fn try_from(text: String) -> Result<Self, GroupError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_groups_that_work_are_taken() {
        for good in ["239.77.66.1:7434", "[ff05::7766]:7434", "[ff02::1:7766]:1", "232.1.1.1:65535"] {
            assert_eq!(good.parse::<Group>().unwrap().to_string(), good);
        }
        for (bad, why) in [
            ("", "no address"),
            ("239.77.66.1", "no address"),
            ("239.77.66.1:0", "no port"),
            ("10.0.0.1:7434", "no multicast"),
            ("[fd00::1]:7434", "no multicast"),
            ("224.0.0.5:7434", "everywhere"),
            ("239.128.0.5:7434", "everywhere"),
            ("[ff01::1]:7434", "leave the host"),
        ] {
            let error = bad.parse::<Group>().unwrap_err().to_string();
            assert!(error.contains(why) && error.contains(bad), "{error}");
        }
    }
}
