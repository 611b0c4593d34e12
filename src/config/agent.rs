//! `/etc/bootstash/agent.toml`.

use crate::names::{DatasetName, NodeName};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Configuration of an agent.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// The name this node reports under; the host name where it is not given, which
    /// [`super::load_agent`] puts here: a loaded configuration always has one.
    pub node: Option<NodeName>,
    /// The registrar: `http://host:port`.
    pub registrar: String,
    /// The ZFS file system to keep everything below, `pool/name`; made where it is missing.
    pub dataset: DatasetName,
    /// Overlay records, deltas being fetched.
    #[serde(default = "state_dir")]
    pub state_dir: PathBuf,
    /// Where views are mounted, a directory for each snapshot. VMs' overlays name paths below it.
    #[serde(default = "views_dir")]
    pub views_dir: PathBuf,
    /// Where overlays may lie that no record tells of: looked through at start and when collecting.
    #[serde(default = "overlay_dirs")]
    pub overlay_dirs: Vec<PathBuf>,
    /// Unix socket for the command.
    #[serde(default = "socket")]
    pub socket: PathBuf,
    /// TCP address for Prometheus.
    #[serde(default = "metrics_listen")]
    pub metrics_listen: SocketAddr,
    /// How long snapshots are kept.
    #[serde(default = "super::default_window", with = "humantime_serde")]
    pub window: Duration,
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
