//! The lab's network: a bridge in the switch's namespace, and a veth pair to each other host.
//!
//! Everything is made inside those namespaces: the machine's own network is not touched, names need
//! not be unique, and all of it goes with the hosts.

use super::namespaces::Namespaces;
use super::run::Call;
use anyhow::{Context, Result};
use nix::unistd::Pid;
use std::path::Path;

/// Length of the network's prefix.
const PREFIX_BITS: u8 = 24;
/// The interface of a host.
pub(super) const INTERFACE: &str = "eth0";

/// A host to connect.
#[derive(Clone, Debug)]
pub struct Port {
    /// Name of the switch's end; at most 15 bytes.
    pub name: String,
    /// The host's address.
    pub address: String,
    /// The host's first process.
    pub init: Pid,
}

/// The address of the storage node.
pub fn storage_address() -> String {
    "10.77.0.1".to_owned()
}

/// The address of compute node `number`, from 1.
pub fn node_address(number: usize) -> String {
    format!("10.77.0.{}", 10 + number)
}

/// Makes the bridge in `switch` and connects each port. `dir` is where the lists of commands go.
///
/// # Errors
/// When `ip` fails.
pub fn connect(switch: Pid, ports: &[Port], dir: &Path) -> Result<()> {
    // With a querier, the bridge floods no multicast to ports that did not join. It does for its first ten
    // seconds, reports of IGMPv2 too: who heard another's would keep its own back, and get nothing after them.
    let versions = "mcast_igmp_version 3 mcast_mld_version 2";
    let mut lines = vec![
        "link set lo up".to_owned(),
        format!("link add br0 type bridge mcast_snooping 1 mcast_querier 1 {versions}"),
        "link set br0 up".to_owned(),
    ];
    for Port { name, init, .. } in ports {
        lines.push(format!("link add {name} type veth peer name {INTERFACE} netns {init}"));
        lines.push(format!("link set {name} master br0 up"));
    }
    batch(switch, &lines, &dir.join("switch.ip"))?;
    for port in ports {
        let lines = [
            "link set lo up".to_owned(),
            format!("addr add {}/{PREFIX_BITS} brd + dev {INTERFACE}", port.address),
            format!("link set {INTERFACE} up"),
            format!("route add 224.0.0.0/4 dev {INTERFACE}"),
        ];
        batch(port.init, &lines, &dir.join(format!("{}.ip", port.name)))?;
    }
    Ok(())
}

fn batch(init: Pid, lines: &[String], file: &Path) -> Result<()> {
    std::fs::write(file, lines.join("\n"))?;
    Call::new("ip").args(["-batch".as_ref(), file]).within(Namespaces::NetworkOf(init)).output()?;
    Ok(())
}

/// Bytes a host sent and received so far over the lab's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
}

/// The interface counters of the host with this first process.
///
/// # Errors
/// When they cannot be read.
pub fn traffic(init: Pid) -> Result<Traffic> {
    let path = format!("/proc/{init}/net/dev");
    let table = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    parse_traffic(&table).with_context(|| format!("{path} does not list {INTERFACE}"))
}

/// Columns after the name: 8 of receiving (bytes first), 8 of sending.
fn parse_traffic(table: &str) -> Option<Traffic> {
    let line = table.lines().find_map(|line| line.trim_start().strip_prefix("eth0:"))?;
    let counts: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    Some(Traffic { received_bytes: *counts.first()?, sent_bytes: *counts.get(8)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_table() {
        let table = "Inter-|   Receive   |  Transmit\n face |bytes packets\n\
                        lo:  1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n\
                      eth0: 70 3 0 0 0 0 0 0 90 4 0 0 0 0 0 0\n";
        let traffic = parse_traffic(table).unwrap();
        assert_eq!((traffic.received_bytes, traffic.sent_bytes), (70, 90));
        assert!(parse_traffic("lo: 1 2").is_none());
    }
}
