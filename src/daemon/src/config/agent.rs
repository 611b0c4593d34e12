//! `/etc/bootstash/agent.toml`.

use super::MulticastReceiverConfig;
use bootstash_base::names::{DatasetName, GroupName, NodeName};
use bootstash_net::download_limits::Limits;
use serde::Deserialize;
use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

/// Configuration of an agent.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// The name this node joined under; a certificate for another is refused.
    pub node: Option<NodeName>,
    /// The registrar: `https://host:port`; where it is not given, that which was joined.
    pub registrar: Option<String>,
    /// The ZFS file system to keep everything below, `pool/name`; made where it is missing.
    pub dataset: DatasetName,
    /// Overlay records, deltas being fetched.
    #[serde(default = "state_dir")]
    pub state_dir: PathBuf,
    /// Where views are mounted, a directory for each snapshot. VMs' overlays name paths below it.
    #[serde(default = "views_dir")]
    pub views_dir: PathBuf,
    /// Where overlays may lie that no record tells of: looked through at start, each minute and when collecting. `*`
    /// stands for any part of one name.
    #[serde(default = "overlay_dirs")]
    pub overlay_dirs: Vec<PathBuf>,
    /// Below these, an image's modification time does not tell that it was written to.
    #[serde(default)]
    pub touched_dirs: Vec<PathBuf>,
    /// Unix socket for the command.
    #[serde(default = "socket")]
    pub socket: PathBuf,
    /// Whose members may use it besides root: to make and remove overlays with their own rights.
    #[serde(default = "GroupName::bootstash")]
    pub socket_group: GroupName,
    /// TCP address for Prometheus.
    #[serde(default = "metrics_listen")]
    pub metrics_listen: SocketAddr,
    /// How long snapshots are kept.
    #[serde(default = "super::default_window", with = "humantime_serde")]
    pub window: Duration,
    /// How many snapshots are kept at most, within the window, too; but for those that something needs.
    #[serde(default = "super::default_snapshots_max")]
    pub snapshots_max: NonZeroUsize,
    /// Serving other nodes.
    #[serde(default)]
    pub peers: PeersConfig,
    /// Receiving what the registrar sends to all nodes at once.
    #[serde(default)]
    pub multicast: MulticastReceiverConfig,
}

impl AgentConfig {
    /// Where our key and certificate are.
    pub fn identity_dir(&self) -> PathBuf {
        self.state_dir.join("identity")
    }
}

/// What a node serves others.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PeersConfig {
    /// TCP address for other nodes; where there is none, nothing is kept or served.
    pub listen: Option<SocketAddr>,
    /// `host:port` under which others reach it, where that is not the address it calls the registrar from.
    pub advertise: Option<String>,
    /// How much of the deltas applied last is kept.
    pub keep_bytes: u64,
    /// Downloads at once.
    pub downloads: usize,
    /// What all downloads together may send a second; none for no limit.
    pub rate_bytes_per_second: Option<NonZeroU64>,
}

impl PeersConfig {
    /// As limits. A whole volume is sent once at a time: only a registrar that lost its own asks for it.
    pub fn limits(&self) -> Limits {
        Limits { downloads: self.downloads, full: 1, rate_bytes_per_second: self.rate_bytes_per_second }
    }
}

impl Default for PeersConfig {
    fn default() -> Self {
        Self { listen: None, advertise: None, keep_bytes: 1 << 30, downloads: 4, rate_bytes_per_second: None }
    }
}

fn state_dir() -> PathBuf {
    "/var/lib/bootstash/agent".into()
}

fn views_dir() -> PathBuf {
    "/var/lib/bootstash/views".into()
}

fn overlay_dirs() -> Vec<PathBuf> {
    vec!["/var/lib/libvirt/images".into()]
}

fn socket() -> PathBuf {
    super::AGENT_SOCKET.into()
}

fn metrics_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7431))
}
