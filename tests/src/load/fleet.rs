//! A registrar and many nodes in one process: their daemons and the wire between them are real, their ZFS
//! is weightless.

use super::Scenario;
use super::null_zfs::NullZfs;
use crate::address::free_address;
use crate::enrolment;
use crate::replication::{OverlayFiles, SyntheticCapturer};
use anyhow::{Context, Result, bail, ensure};
use bootstash_agent::follow::Intervals;
use bootstash_agent::run::Agent;
use bootstash_daemon::config::{AgentConfig, PeersConfig, RegistrarConfig, ServingConfig};
use bootstash_delta::VolumeLog;
use bootstash_net::api::*;
use bootstash_net::download_limits::Limits;
use bootstash_registrar::daemon;
use bootstash_registrar::download_limits::DownloadLimits;
use bootstash_registrar::layout::Layout;
use bootstash_zfs::Zfs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(20);
const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// While the fleet is set up.
const UNLIMITED: Limits = Limits { downloads: 1000, full: 1000, rate_bytes_per_second: None };

/// The fleet.
pub struct Fleet {
    dir: TempDir,
    /// What the registrar serves.
    pub serving: DownloadLimits,
    registrar: (CancellationToken, JoinHandle<Result<()>>),
    client: Client,
    for_nodes: Client,
    listen: SocketAddr,
    nodes: Vec<Node>,
    peers: PeersConfig,
    intervals: Intervals,
    /// Where each node serves metrics; anywhere, for those beyond.
    metrics: Vec<SocketAddr>,
}

struct Node {
    zfs: Arc<NullZfs>,
    running: Option<(CancellationToken, Agent)>,
}

impl Fleet {
    /// So many nodes, all in step with the first snapshot. `peers`: whether nodes serve each other.
    ///
    /// # Errors
    /// When it does not come to be.
    pub async fn start(number: usize, peers: bool, intervals: Intervals) -> Result<Self> {
        Self::start_with_metrics_at(number, peers, intervals, Vec::new()).await
    }

    /// The same, with metrics where Prometheus can be told that they are.
    ///
    /// # Errors
    /// When it does not come to be.
    pub async fn start_monitored(number: usize, intervals: Intervals) -> Result<Self> {
        let metrics = (0..number).map(|_| free_address()).collect::<Result<Vec<_>>>()?;
        Self::start_with_metrics_at(number, false, intervals, metrics).await
    }

    async fn start_with_metrics_at(
        number: usize,
        peers: bool,
        intervals: Intervals,
        metrics: Vec<SocketAddr>,
    ) -> Result<Self> {
        let dir = scratch_dir()?;
        let config = registrar_config(dir.path())?;
        let (listen, socket) = (config.listen, config.socket.clone());
        enrolment::init(&config.state_dir)?;
        let serving = DownloadLimits::new(&ServingConfig::default());
        serving.downloads.set(UNLIMITED);
        let stop = CancellationToken::new();
        let run = daemon::run_with_limits(
            config,
            serving.clone(),
            Arc::new(NullZfs::new()),
            Arc::new(SyntheticCapturer::default()),
            stop.clone(),
        );
        let registrar = (stop, tokio::spawn(run));
        let listen_peers = peers.then(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let peers = PeersConfig { listen: listen_peers, ..PeersConfig::default() };
        let nodes = (0..number).map(|_| Node { zfs: Arc::new(NullZfs::new()), running: None }).collect();
        let client = Client::new(Endpoint::Unix(socket))?;
        enrolment::enrol(&dir.path().join("r"), &dir.path().join("asker"), "asker")?;
        let for_nodes = enrolment::client(&dir.path().join("asker"), &format!("https://{listen}"))?;
        let mut fleet =
            Self { dir, serving, registrar, client, for_nodes, listen, nodes, peers, intervals, metrics };
        fleet.answers().await?;
        fleet.register("first").await?;
        fleet.power_on().await?;
        fleet.in_step().await?;
        Ok(fleet)
    }

    /// The way to the registrar.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where the registrar's volume is mounted.
    ///
    /// # Errors
    /// When it has no such place.
    pub fn mountpoint(&self) -> Result<PathBuf> {
        Ok(Layout::new(&registrar_config(self.dir.path())?)?.mountpoint)
    }

    /// Registers a made-up image.
    ///
    /// # Errors
    /// When the registration fails.
    pub async fn register(&self, name: &str) -> Result<()> {
        let source = self.dir.path().join(name);
        std::fs::write(&source, vec![1; 4096])?;
        let request = RegisterRequest::new(name, source);
        let RegisterReply::Started { job } = self.client.post(routes::IMAGES, &request).await? else {
            bail!("{name} was registered");
        };
        let route = routes::JOB.replace("{id}", &job.to_string());
        loop {
            match self.client.get::<JobView>(&route, &()).await?.outcome {
                Some(JobOutcome::Registered { .. }) => return Ok(()),
                Some(failed @ (JobOutcome::Failed { .. } | JobOutcome::Cancelled { .. })) => {
                    bail!("{name}: {failed:?}")
                }
                None => sleep(POLL).await,
            }
        }
    }

    /// Ends every agent.
    ///
    /// # Errors
    /// When one does not end.
    pub async fn power_off(&mut self) -> Result<()> {
        let running: Vec<_> = self.nodes.iter_mut().filter_map(|node| node.running.take()).collect();
        running.iter().for_each(|(stop, _)| stop.cancel());
        for (_, agent) in running {
            timeout(LIMIT, agent.finish()).await.context("an agent does not end")??;
        }
        Ok(())
    }

    /// Starts all agents at once.
    ///
    /// # Errors
    /// When one does not start.
    pub async fn power_on(&mut self) -> Result<()> {
        let starting = self.nodes.iter().enumerate().map(|(number, node)| {
            let (config, zfs, intervals) = (self.node_config(number), Arc::clone(&node.zfs), self.intervals);
            async move {
                let stop = CancellationToken::new();
                let agent =
                    Agent::start(&config?, zfs, Arc::new(OverlayFiles), intervals, stop.clone()).await?;
                anyhow::Ok((stop, agent))
            }
        });
        let started = futures::future::try_join_all(starting).await?;
        for (node, running) in self.nodes.iter_mut().zip(started) {
            node.running = Some(running);
        }
        Ok(())
    }

    /// Waits until every node has the registrar's newest snapshot.
    ///
    /// # Errors
    /// When they do not get it.
    pub async fn in_step(&self) -> Result<()> {
        let log: VolumeLog = self.for_nodes.get(routes::LOG, &LogQuery::default()).await?;
        let wanted = log.snapshots.last().context("nothing is registered")?.guid;
        let all = async {
            for (number, node) in self.nodes.iter().enumerate() {
                let volume = self.node_config(number)?.dataset.child("volume")?;
                while node.zfs.snapshots(&volume).await?.last().map(|head| head.guid) != Some(wanted) {
                    sleep(POLL).await;
                }
            }
            Ok(())
        };
        timeout(LIMIT, all).await.context("not all nodes come in step")?
    }

    /// Puts the limits of a scenario in force on the registrar.
    pub fn limit(&self, scenario: &Scenario) {
        self.serving.set(&ServingConfig {
            downloads: scenario.downloads,
            full_streams: scenario.downloads,
            rate_bytes_per_second: scenario.rate_bytes_per_second,
            prefer_peers: scenario.prefer_peers,
        });
    }

    /// Size of all deltas that lead on from the first snapshot.
    ///
    /// # Errors
    /// When the registrar does not tell.
    pub async fn deltas_bytes(&self) -> Result<u64> {
        let log: VolumeLog = self.for_nodes.get(routes::LOG, &LogQuery::default()).await?;
        Ok(log.deltas.iter().filter(|delta| delta.from.is_some()).map(|delta| delta.bytes).sum())
    }

    /// Bytes that nodes had from each other since they started.
    pub fn from_peers_bytes(&self) -> u64 {
        let running = self.nodes.iter().filter_map(|node| node.running.as_ref());
        running.map(|(_, agent)| agent.metrics().from_peers_bytes()).sum()
    }

    /// Where the registrar is: for the command on this host, and on the network.
    pub fn registrar(&self) -> (PathBuf, SocketAddr) {
        (self.dir.path().join("r.sock"), self.listen)
    }

    /// Where nodes serve metrics, of a fleet that was started so.
    pub fn metrics_addresses(&self) -> &[SocketAddr] {
        &self.metrics
    }

    /// What the registrar tells Prometheus.
    ///
    /// # Errors
    /// When it does not.
    pub async fn metrics(&self) -> Result<String> {
        Ok(self.client.stream(routes::METRICS, &()).await?.text().await?)
    }

    /// Ends everything.
    ///
    /// # Errors
    /// When something does not end.
    pub async fn stop(mut self) -> Result<()> {
        self.power_off().await?;
        self.registrar.0.cancel();
        timeout(LIMIT, self.registrar.1).await.context("the registrar does not end")??
    }

    fn node_config(&self, number: usize) -> Result<AgentConfig> {
        let (dir, node) = (self.dir.path().join(format!("n{number}")), format!("n{number}"));
        enrolment::enrol(&self.dir.path().join("r"), &dir, &node)?;
        Ok(AgentConfig {
            overlay_dirs: Vec::new(),
            touched_dirs: Vec::new(),
            node: Some(node.parse()?),
            registrar: Some(format!("https://{}", self.listen)),
            dataset: format!("tank/n{number}").parse()?,
            views_dir: dir.join("views"),
            socket: dir.join("s"),
            socket_group: bootstash_base::names::GroupName::root(),
            state_dir: dir,
            metrics_listen: self.metrics.get(number).copied().unwrap_or(ANYWHERE),
            window: Duration::from_secs(3600),
            snapshots_max: std::num::NonZeroUsize::MAX,
            peers: self.peers.clone(),
            multicast: Default::default(),
        })
    }

    async fn answers(&mut self) -> Result<()> {
        let answers = async {
            while self.client.get::<Vec<NodeView>>(routes::NODES, &()).await.is_err() {
                ensure!(!self.registrar.1.is_finished(), "the registrar ended");
                sleep(POLL).await;
            }
            Ok(())
        };
        timeout(LIMIT, answers).await.context("the registrar does not answer")?
    }
}

/// In memory where there is such a place: two hundred nodes have two hundred disks, not this one.
fn scratch_dir() -> Result<TempDir> {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    Ok(dir?)
}

fn registrar_config(dir: &Path) -> Result<RegistrarConfig> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    Ok(RegistrarConfig {
        dataset: "tank/registrar".parse()?,
        state_dir: dir.join("r"),
        socket: dir.join("r.sock"),
        socket_group: bootstash_base::names::GroupName::root(),
        listen: port,
        certificate_lifetime: enrolment::LIFETIME,
        window: Duration::from_secs(3600),
        snapshots_max: std::num::NonZeroUsize::MAX,
        capture: Default::default(),
        serving: ServingConfig::default(),
        multicast: Default::default(),
    })
}
