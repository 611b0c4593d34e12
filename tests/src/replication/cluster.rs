//! A registrar and its nodes, in one process, over a ZFS that they share.

use super::capturer::{CACHE_BYTES, SyntheticCapturer};
use super::faulty_proxy::FaultyProxy;
use crate::address::free_address;
use crate::enrolment;
use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use bootstash_agent::follow::Intervals;
use bootstash_agent::run::Agent;
use bootstash_agent::volume::OverlayMaker;
use bootstash_base::backoff::Backoff;
use bootstash_base::impersonate::ActAs;
use bootstash_base::names::{DatasetName, GroupName, Guid, SnapshotName};
use bootstash_daemon::config::{
    AgentConfig, MulticastConfig, MulticastReceiverConfig, PeersConfig, RegistrarConfig,
};
use bootstash_disk::ImageFormat;
use bootstash_disk::qcow2;
use bootstash_net::api::*;
use bootstash_qemu::{NewOverlay, OverlayError};
use bootstash_zfs::{CommandZfs, NewDataset, Programs, Role, Zfs};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Under emulation, and with other cases at the same time.
const LIMIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(100);
const INTERVALS: Intervals = Intervals {
    retry: Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(1) },
    stopped_retry: Duration::from_secs(1),
    long_poll: Duration::from_secs(2),
    read_timeout: Duration::from_secs(5),
    report: Duration::from_secs(2),
    download_jitter: Duration::from_millis(100),
};

/// A daemon that runs.
type Running = (CancellationToken, JoinHandle<Result<()>>);

/// A registrar and its nodes.
pub(super) struct Cluster {
    pub(super) zfs: Arc<dyn Zfs>,
    root: DatasetName,
    dir: PathBuf,
    /// A short path: those of sockets end at 107 bytes.
    sockets: TempDir,
    registrar: Mutex<Option<Running>>,
    nodes: Mutex<Vec<(String, Running)>>,
    pub(super) proxy: FaultyProxy,
    listen: SocketAddr,
    peer_addresses: Mutex<HashMap<String, SocketAddr>>,
    multicast: MulticastConfig,
    cache_bytes: usize,
    overlays: Arc<dyn OverlayMaker>,
}

/// Overlays that name what they chain onto, and hold nothing.
#[derive(Debug)]
pub(crate) struct OverlayFiles;

#[async_trait]
impl OverlayMaker for OverlayFiles {
    async fn create(&self, _: &ActAs, overlay: NewOverlay<'_>) -> Result<(), OverlayError> {
        let NewOverlay { path, backing, virtual_size_bytes, owner: _ } = overlay;
        write_overlay(path, backing, virtual_size_bytes)
            .map_err(|source| OverlayError::Io { path: path.to_owned(), source })
    }
}

/// Writes a qcow2 file that names what it chains onto, and holds nothing.
pub(crate) fn write_overlay(path: &Path, backing: &Path, virtual_size_bytes: u64) -> std::io::Result<()> {
    let zeros = qcow2::ClusterRuns::default();
    let layout = qcow2::Layout::new(virtual_size_bytes, Vec::new(), zeros, backing, ImageFormat::Qcow2);
    qcow2::write(
        &layout.map_err(std::io::Error::other)?,
        |_, _| Ok(()),
        &mut std::fs::File::create_new(path)?,
    )
}

impl Cluster {
    /// Starts the registrar alone.
    pub(super) async fn start(root: DatasetName, dir: &Path, multicast: MulticastConfig) -> Result<Self> {
        Self::start_with_caches(root, dir, multicast, CACHE_BYTES).await
    }

    /// The same, where each cache has so many bytes.
    pub(super) async fn start_with_caches(
        root: DatasetName,
        dir: &Path,
        multicast: MulticastConfig,
        cache_bytes: usize,
    ) -> Result<Self> {
        let zfs = CommandZfs::open(&Programs::find()?, root.pool()).await?;
        let new = NewDataset { role: Role::Root, mountpoint: None, properties: Vec::new() };
        zfs.create(&root, &new).await?;
        let listen = free_address()?;
        enrolment::init(&dir.join("registrar"))?;
        let cluster = Self {
            zfs: Arc::new(zfs),
            root,
            dir: dir.to_owned(),
            sockets: tempfile::tempdir()?,
            registrar: Mutex::default(),
            nodes: Mutex::default(),
            proxy: FaultyProxy::to(listen, &dir.join("registrar")).await?,
            listen,
            peer_addresses: Mutex::default(),
            multicast,
            cache_bytes,
            overlays: Arc::new(OverlayFiles),
        };
        cluster.start_registrar().await?;
        Ok(cluster)
    }

    /// Has nodes that start from now on make overlays that a VM can use.
    pub(super) fn making_overlays_by(self, maker: Arc<dyn OverlayMaker>) -> Self {
        Self { overlays: maker, ..self }
    }

    pub(super) async fn start_registrar(&self) -> Result<()> {
        let config = RegistrarConfig {
            dataset: self.root.child("registrar")?,
            state_dir: self.dir.join("registrar"),
            socket: self.socket("registrar"),
            socket_group: GroupName::root(),
            listen: self.listen,
            certificate_lifetime: enrolment::LIFETIME,
            window: Duration::from_secs(3600),
            snapshots_max: std::num::NonZeroUsize::MAX,
            capture: Default::default(),
            serving: Default::default(),
            multicast: self.multicast.clone(),
        };
        enrolment::init(&config.state_dir)?;
        let stop = CancellationToken::new();
        let run = bootstash_registrar::daemon::run(
            config,
            Arc::clone(&self.zfs),
            Arc::new(SyntheticCapturer { cache_bytes: self.cache_bytes }),
            stop.clone(),
        );
        *self.registrar.lock().await = Some((stop, tokio::spawn(run)));
        self.until("the registrar answers", async || {
            let mut running = self.registrar.lock().await;
            if let Some((_, task)) = running.take_if(|(_, task)| task.is_finished()) {
                task.await??;
                bail!("the registrar ended");
            }
            drop(running);
            Ok(self.registrar_status().await.ok().map(drop))
        })
        .await
    }

    pub(super) async fn stop_registrar(&self) -> Result<()> {
        let running = self.registrar.lock().await.take();
        end(running.context("the registrar does not run")?).await
    }

    pub(super) async fn start_node(&self, name: &str) -> Result<()> {
        self.start_node_with(name, MulticastReceiverConfig::default()).await
    }

    pub(super) async fn start_node_with(&self, name: &str, multicast: MulticastReceiverConfig) -> Result<()> {
        let config = AgentConfig {
            node: Some(name.parse()?),
            registrar: Some(self.proxy.url()),
            dataset: self.dataset(name)?,
            state_dir: self.dir.join(name),
            views_dir: self.dir.join(format!("{name}-views")),
            overlay_dirs: vec![self.dir.clone(), self.dir.join("vms/*")],
            touched_dirs: Vec::new(),
            socket: self.socket(name),
            socket_group: GroupName::root(),
            metrics_listen: free_address()?,
            window: Duration::from_secs(3600),
            snapshots_max: std::num::NonZeroUsize::MAX,
            peers: PeersConfig { listen: Some(self.peer_address(name).await?), ..PeersConfig::default() },
            multicast,
        };
        enrolment::enrol(&self.dir.join("registrar"), &config.state_dir, name)?;
        let stop = CancellationToken::new();
        let agent =
            Agent::start(&config, Arc::clone(&self.zfs), Arc::clone(&self.overlays), INTERVALS, stop.clone())
                .await?;
        let task = tokio::spawn(async move { Ok(agent.finish().await?) });
        self.nodes.lock().await.push((name.to_owned(), (stop, task)));
        Ok(())
    }

    /// Where a node serves others, at each of its starts.
    async fn peer_address(&self, node: &str) -> Result<SocketAddr> {
        let mut addresses = self.peer_addresses.lock().await;
        if !addresses.contains_key(node) {
            addresses.insert(node.to_owned(), free_address()?);
        }
        Ok(addresses[node])
    }

    pub(super) async fn restore(&self, from: &str) -> Result<RestoreReply> {
        let request = RestoreRequest { from: from.to_owned() };
        Ok(self.client("registrar")?.post(routes::RESTORE, &request).await?)
    }

    /// Why it is not restored.
    pub(super) async fn restore_refused(&self, from: &str) -> Result<String> {
        match self.restore(from).await {
            Ok(reply) => bail!("restored: {reply:?}"),
            Err(error) => Ok(error.to_string()),
        }
    }

    /// As an operator names it who has to know it.
    pub(super) async fn peer_url(&self, node: &str) -> Result<String> {
        Ok(format!("https://{}", self.peer_address(node).await?))
    }

    /// A proxy to the port where a node serves others.
    pub(super) async fn proxy_to_peer(&self, node: &str) -> Result<FaultyProxy> {
        FaultyProxy::to(self.peer_address(node).await?, &self.dir.join(node)).await
    }

    /// The registrar loses all it has, file systems and files, but for its authority: of that there is a copy.
    pub(super) async fn lose_registrar(&self) -> Result<()> {
        self.stop_registrar().await?;
        // zfs-fuse ends an unmount a while after it said so.
        let lost = self.dataset("registrar")?;
        let destroy = async || Ok(self.zfs_command(&["destroy", "-r", lost.as_str()]).ok());
        self.until("the registrar's file systems are gone", destroy).await?;
        let (state, copy) = (self.dir.join("registrar"), self.dir.join("copy"));
        std::fs::rename(enrolment::dir_of(&state), &copy)?;
        std::fs::remove_dir_all(&state)?;
        std::fs::create_dir(&state)?;
        std::fs::rename(&copy, enrolment::dir_of(&state))?;
        self.start_registrar().await
    }

    pub(super) async fn stop_node(&self, name: &str) -> Result<()> {
        let mut nodes = self.nodes.lock().await;
        let at = nodes.iter().position(|(node, _)| node == name).context("no such node runs")?;
        let (_, running) = nodes.remove(at);
        end(running).await
    }

    /// Ends everything; the pool goes with the ZFS.
    pub(super) async fn stop(self) {
        let nodes = self.nodes.into_inner().into_iter().map(|(_, running)| running);
        for running in nodes.chain(self.registrar.into_inner()) {
            if let Err(error) = end(running).await {
                eprintln!("a daemon did not end well: {error:#}");
            }
        }
    }

    pub(super) fn dataset(&self, node: &str) -> Result<DatasetName> {
        Ok(self.root.child(node)?)
    }

    /// The file system that a node receives into.
    pub(super) fn volume(&self, node: &str) -> Result<DatasetName> {
        Ok(self.dataset(node)?.child("volume")?)
    }

    /// The file system that is a node's view of a snapshot.
    pub(super) fn view(&self, node: &str, snapshot: &SnapshotName) -> Result<DatasetName> {
        Ok(self.dataset(node)?.child("views")?.child(snapshot.as_str())?)
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(super) fn socket(&self, node: &str) -> PathBuf {
        self.sockets.path().join(node)
    }

    fn client(&self, daemon: &str) -> Result<Client> {
        Ok(Client::new(Endpoint::Unix(self.socket(daemon)))?)
    }

    pub(super) async fn registrar_status(&self) -> Result<RegistrarStatus> {
        Ok(self.client("registrar")?.get(routes::STATUS, &()).await?)
    }

    pub(super) async fn node_status(&self, node: &str) -> Result<AgentStatus> {
        Ok(self.client(node)?.get(routes::STATUS, &()).await?)
    }

    /// What the registrar's list of nodes says of one.
    pub(super) async fn problem_of(&self, node: &str) -> Result<Option<String>> {
        let nodes: Vec<NodeView> = self.client("registrar")?.get(routes::NODES, &()).await?;
        Ok(nodes.into_iter().find(|it| it.name.as_str() == node).and_then(|it| it.problem))
    }

    /// Registers an image of this name.
    pub(super) async fn register(&self, name: &str) -> Result<()> {
        let source = self.file(&format!("{name}.raw"));
        // With a hole: a thousand of them have to fit in a guest's memory beside its pool.
        std::fs::write(&source, vec![1; 4096])?;
        std::fs::File::options().write(true).open(&source)?.set_len(1 << 20)?;
        let request = RegisterRequest::new(name, source);
        let registrar = self.client("registrar")?;
        let RegisterReply::Started { job } = registrar.post(routes::IMAGES, &request).await? else {
            bail!("{name} was registered");
        };
        let route = routes::JOB.replace("{id}", &job.to_string());
        let following = async {
            let mut view: JobView = registrar.get(&route, &()).await?;
            while view.outcome.is_none() {
                view = registrar.get(&route, &[("after", view.seq)]).await?;
            }
            anyhow::Ok(view.outcome)
        };
        match timeout(LIMIT, following).await.context("the registration does not end")?? {
            Some(JobOutcome::Registered { .. }) => Ok(()),
            failed => bail!("{name}: {failed:?}"),
        }
    }

    /// The images that a daemon lists.
    pub(super) async fn images(&self, daemon: &str) -> Result<Vec<ImageView>> {
        Ok(self.client(daemon)?.get(routes::IMAGES, &()).await?)
    }

    /// What a daemon shows Prometheus.
    pub(super) async fn scrape(&self, daemon: &str) -> Result<crate::prometheus::Scrape> {
        crate::prometheus::parse(&self.client(daemon)?.stream(routes::METRICS, &()).await?.text().await?)
    }

    /// What a node finds out about multicast.
    pub(super) async fn examine(&self, node: &str) -> Result<MulticastFindings> {
        Ok(self.client(node)?.post(routes::DOCTOR_MULTICAST, &()).await?)
    }

    /// Bytes of deltas and whole volumes that the registrar sent since it started.
    pub(super) async fn served_bytes(&self) -> Result<f64> {
        let scrape = self.scrape("registrar").await?;
        let of = |kind| scrape.value(&format!("bootstash_registrar_served_bytes_total{{kind=\"{kind}\"}}"));
        Ok(of("delta").unwrap_or_default() + of("full").unwrap_or_default())
    }

    pub(super) async fn deregister(&self, name: &str) -> Result<DeregisterReply> {
        let route = routes::IMAGE.replace("{name}", name);
        Ok(self.client("registrar")?.delete(&route, &DeregisterQuery { publish: true }).await?)
    }

    pub(super) async fn collect(&self, daemon: &str) -> Result<GcReport> {
        let query = GcQuery { dry_run: false, window_seconds: Some(0) };
        Ok(self.client(daemon)?.post(routes::GC, &query).await?)
    }

    pub(super) async fn overlay(&self, node: &str, image: &str) -> Result<OverlayView> {
        self.overlay_at(node, image, self.file(&format!("{node}-{image}.qcow2"))).await
    }

    pub(super) async fn overlay_at(&self, node: &str, image: &str, path: PathBuf) -> Result<OverlayView> {
        let request = OverlayRequest::new(image, path);
        Ok(self.client(node)?.post(routes::OVERLAYS, &request).await?)
    }

    /// The nodes, as the registrar lists them.
    pub(super) async fn nodes(&self) -> Result<Vec<NodeView>> {
        Ok(self.client("registrar")?.get(routes::NODES, &NodesQuery::default()).await?)
    }

    pub(super) async fn adopt(&self, node: &str, path: PathBuf) -> Result<AdoptReply> {
        Ok(self.client(node)?.post(routes::OVERLAY_ADOPTION, &OverlayQuery { path }).await?)
    }

    pub(super) async fn overlays(&self, node: &str) -> Result<Vec<OverlayStatus>> {
        Ok(self.client(node)?.get(routes::OVERLAYS, &()).await?)
    }

    pub(super) async fn remove_overlay(&self, node: &str, path: &Path) -> Result<()> {
        let query = OverlayQuery { path: path.to_owned() };
        let _: serde_json::Value = self.client(node)?.delete(routes::OVERLAYS, &query).await?;
        Ok(())
    }

    /// The newest snapshot of a node's volume, whichever generation that is.
    async fn head(&self, node: &str) -> Result<Option<Guid>> {
        let mut heads = Vec::new();
        for dataset in self.zfs.children(&self.dataset(node)?).await? {
            if let Some(generation) = bootstash_agent::layout::Layout::generation_of(&dataset) {
                heads.extend(self.guids(&dataset).await?.last().map(|head| (generation, *head)));
            }
        }
        Ok(heads.into_iter().max().map(|(_, head)| head))
    }

    /// The GUIDs of the snapshots of a file system.
    pub(super) async fn guids(&self, of: &DatasetName) -> Result<Vec<Guid>> {
        Ok(self.zfs.snapshots(of).await?.iter().map(|snapshot| snapshot.guid).collect())
    }

    /// Waits until a node has what the registrar has, GUID by GUID.
    pub(super) async fn in_step(&self, node: &str) -> Result<()> {
        let there = self.volume("registrar")?;
        self.until(&format!("{node} is in step"), async || {
            let state = self.node_status(node).await?.state;
            let same = self.guids(&there).await?.last().copied() == self.head(node).await?;
            Ok((same && state == AgentState::InStep).then_some(()))
        })
        .await
    }

    /// Waits for what must come.
    pub(super) async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Result<Option<T>>) -> Result<T> {
        let looking = async {
            loop {
                if let Some(found) = look().await? {
                    return Ok(found);
                }
                sleep(POLL).await;
            }
        };
        timeout(LIMIT, looking).await.with_context(|| format!("waited {} s for: {what}", LIMIT.as_secs()))?
    }

    /// Runs `zfs` behind everybody's back.
    pub(super) fn zfs_command(&self, words: &[&str]) -> Result<()> {
        crate::lab::run::Call::new("/usr/sbin/zfs").args(words).output().map(drop)
    }
}

async fn end((stop, task): Running) -> Result<()> {
    stop.cancel();
    timeout(LIMIT, task).await.context("a daemon does not end")??
}
