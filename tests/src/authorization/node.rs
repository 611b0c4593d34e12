//! A node with its real TLS ports, over a ZFS in memory.

use super::{LIMIT, TestRegistrar};
use crate::address::free_address;
use crate::replication::OverlayFiles;
use anyhow::Result;
use bootstash_agent::follow::Intervals;
use bootstash_agent::run::Agent;
use bootstash_base::backoff::Backoff;
use bootstash_daemon::config::{AgentConfig, PeersConfig};
use bootstash_net::api::{Client, Endpoint};
use bootstash_zfs::fake::FakeZfs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Tries again soon, and waits long for news.
const INTERVALS: Intervals = Intervals {
    retry: Backoff { first: Duration::from_millis(20), longest: Duration::from_millis(200) },
    stopped_retry: Duration::from_millis(200),
    long_poll: Duration::from_secs(30),
    read_timeout: Duration::from_secs(90),
    report: Duration::from_secs(300),
    download_jitter: Duration::from_millis(5),
};

/// An agent that runs.
pub struct Node {
    /// Where it serves other nodes.
    pub peers: SocketAddr,
    /// Where it serves monitors.
    pub metrics: SocketAddr,
    socket: PathBuf,
    stop: CancellationToken,
    task: JoinHandle<Result<()>>,
}

impl Node {
    /// Starts the agent of the node whose key lies in the directory of `name`; its registrar is at `url`.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn open(registrar: &TestRegistrar, name: &str, url: &str) -> Result<Self> {
        let (peers, metrics) = (free_address()?, free_address()?);
        let config = config(&registrar.dir.path().join(name), url, peers, metrics)?;
        let (zfs, stop) = (Arc::new(FakeZfs::seeded(2)), CancellationToken::new());
        let agent = Agent::start(&config, zfs, Arc::new(OverlayFiles), INTERVALS, stop.clone()).await?;
        let task = tokio::spawn(async move { Ok(agent.finish().await?) });
        Ok(Self { peers, metrics, socket: config.socket, stop, task })
    }

    /// A client on its socket.
    ///
    /// # Errors
    /// When there is none.
    pub fn local(&self) -> Result<Client> {
        Ok(Client::new(Endpoint::Unix(self.socket.clone()))?)
    }

    /// Shuts the agent down.
    ///
    /// # Errors
    /// When it does not end well.
    pub async fn close(self) -> Result<()> {
        self.stop.cancel();
        timeout(LIMIT, self.task).await??
    }
}

fn config(dir: &Path, url: &str, peers: SocketAddr, metrics: SocketAddr) -> Result<AgentConfig> {
    Ok(AgentConfig {
        multicast: Default::default(),
        node: None,
        registrar: Some(url.to_owned()),
        dataset: "tank/bootstash".parse()?,
        state_dir: dir.to_owned(),
        views_dir: dir.join("views"),
        overlay_dirs: Vec::new(),
        touched_dirs: Vec::new(),
        socket: dir.join("s"),
        socket_group: bootstash_base::names::GroupName::root(),
        metrics_listen: metrics,
        window: Duration::from_secs(3600),
        snapshots_max: std::num::NonZeroUsize::MAX,
        peers: PeersConfig { listen: Some(peers), ..PeersConfig::default() },
    })
}
