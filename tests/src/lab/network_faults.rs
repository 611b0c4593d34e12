//! Faults of a lab's network: each packet a frame, some of them lost.

use super::namespaces::Namespaces;
use super::network::INTERFACE;
use super::run::Call;
use super::{Host, Lab};
use anyhow::Result;
use nix::unistd::Pid;

/// With these, dozens of datagrams cross a virtual cable as one frame, which is then lost as one.
const OFFLOADS: [&str; 4] = ["tso", "gso", "gro", "tx-udp-segmentation"];
/// The unit of loss rates: parts in this many.
const PARTS: u32 = 10_000;

impl Lab {
    /// From now on each packet crosses the network as a frame of its own.
    ///
    /// # Errors
    /// When offloads of an interface cannot be turned off.
    pub fn disable_offloads(&self) -> Result<()> {
        for host in &self.hosts {
            without_offloads(host.init, INTERFACE)?;
            without_offloads(self.switch()?, host.name())?;
        }
        Ok(())
    }
}

fn without_offloads(network: Pid, interface: &str) -> Result<()> {
    let switches = OFFLOADS.iter().flat_map(|offload| [*offload, "off"]);
    let call = Call::new("ethtool").args(["-K", interface]).args(switches);
    call.within(Namespaces::NetworkOf(network)).output().map(drop)
}

impl Host {
    /// From now on UDP packets to this port do not come in.
    ///
    /// # Errors
    /// When the kernel refuses the rule.
    pub fn drop_udp_to(&self, port: u16) -> Result<()> {
        let chain = "add chain inet wall in { type filter hook input priority 0; }";
        let rule = format!("add rule inet wall in udp dport {port} drop");
        let file = self.dir.join("wall.nft");
        std::fs::write(&file, format!("add table inet wall\n{chain}\n{rule}\n"))?;
        let call = Call::new("nft").args(["-f".as_ref(), file.as_path()]);
        call.within(Namespaces::NetworkOf(self.init)).output().map(drop)
    }

    /// From now on `percent` percent of the TCP and UDP packets that come in are lost, each by itself.
    ///
    /// # Errors
    /// When the kernel refuses the rule.
    pub fn set_packet_loss(&self, percent: f64) -> Result<()> {
        let file = self.dir.join("loss.nft");
        std::fs::write(&file, rule(percent))?;
        let call = Call::new("nft").args(["-f".as_ref(), file.as_path()]);
        call.within(Namespaces::NetworkOf(self.init)).output().map(drop)
    }
}

/// The table is made first so that it can be removed: what was in force before goes.
fn rule(percent: f64) -> String {
    let parts = (percent / 100.0 * f64::from(PARTS)).round();
    let none = "table netdev lossy {}\ndelete table netdev lossy\n";
    if parts == 0.0 {
        return none.to_owned();
    }
    format!(
        "{none}table netdev lossy {{\n\
         chain in {{ type filter hook ingress device {INTERFACE} priority 0; policy accept;\n\
         ip protocol {{ tcp, udp }} numgen random mod {PARTS} < {parts} drop\n\
         }}\n\
         }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percents_become_parts() {
        assert!(!rule(0.0).contains("drop"));
        assert!(rule(0.25).contains("mod 10000 < 25 drop"));
        assert!(rule(5.0).contains("mod 10000 < 500 drop"));
    }
}
