//! A node: a volume and a follower on a ZFS in memory, with overlays that are no more than files.

use crate::enrolment::Revocations;
use crate::follow::{Follower, FollowerParts, Intervals};
use crate::layout::Layout;
use crate::metrics::Metrics;
use crate::volume::{OpenError, OverlayMaker, Volume, VolumeHandle};
use async_trait::async_trait;
use bootstash_base::backoff::Backoff;
use bootstash_base::impersonate::ActAs;
use bootstash_base::names::{DatasetName, GroupName, SnapshotName};
use bootstash_daemon::config::{AgentConfig, MulticastReceiverConfig};
use bootstash_disk::ImageFormat;
use bootstash_disk::qcow2;
use bootstash_disk::qcow2::ClusterRuns;
use bootstash_net::api::{AgentState, Client, Dialer, Endpoint};
use bootstash_net::identity::{Authority, Credentials, KeyRequest};
use bootstash_qemu::{NewOverlay, OverlayError};
use bootstash_zfs::Zfs;
use bootstash_zfs::fake::FakeZfs;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Waits are short, so that tests are; the long poll ends with news.
const INTERVALS: Intervals = Intervals {
    retry: Backoff { first: Duration::from_millis(2), longest: Duration::from_millis(10) },
    stopped_retry: Duration::from_millis(10),
    long_poll: Duration::from_secs(30),
    read_timeout: Duration::from_secs(90),
    report: Duration::from_secs(300),
    download_jitter: Duration::from_millis(5),
};

/// Writes an empty qcow2 file that chains onto `backing`.
pub(crate) fn write_overlay(path: &Path, backing: &Path, virtual_size_bytes: u64) -> std::io::Result<()> {
    let zeros = ClusterRuns::default();
    let layout = qcow2::Layout::new(virtual_size_bytes, Vec::new(), zeros, backing, ImageFormat::Qcow2);
    qcow2::write(&layout.unwrap(), |_, _| Ok(()), &mut File::create_new(path)?)
}

/// Makes files that name what they chain onto; nothing where the path says that it is forbidden.
#[derive(Debug)]
pub(crate) struct OverlayFiles;

#[async_trait]
impl OverlayMaker for OverlayFiles {
    async fn create(&self, act_as: &ActAs, overlay: NewOverlay<'_>) -> Result<(), OverlayError> {
        let NewOverlay { path, backing, virtual_size_bytes, owner: _ } = overlay;
        if path.to_string_lossy().contains("forbidden") {
            let source = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
            return Err(OverlayError::Io { path: path.to_owned(), source });
        }
        let made = act_as.act(|| write_overlay(path, backing, virtual_size_bytes)).and_then(|made| made);
        made.map_err(|source| OverlayError::Io { path: path.to_owned(), source })
    }
}

/// A node whose agent can be stopped and started.
pub(crate) struct Node {
    pub(crate) dir: TempDir,
    pub(crate) zfs: Arc<FakeZfs>,
    pub(crate) metrics: Metrics,
    /// As its configuration names them.
    pub(crate) overlay_dirs: Vec<PathBuf>,
    running: Option<Running>,
}

struct Running {
    volume: VolumeHandle,
    state: Option<watch::Receiver<AgentState>>,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

impl Node {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("vms")).unwrap();
        let zfs = Arc::new(FakeZfs::seeded(1));
        Self { dir, zfs, metrics: Metrics::new(), overlay_dirs: Vec::new(), running: None }
    }

    pub(crate) fn config(&self) -> AgentConfig {
        AgentConfig {
            multicast: Default::default(),
            node: Some("c17".parse().unwrap()),
            registrar: None,
            dataset: "tank/bootstash".parse().unwrap(),
            state_dir: self.dir.path().join("state"),
            views_dir: self.dir.path().join("views"),
            overlay_dirs: self.overlay_dirs.clone(),
            touched_dirs: Vec::new(),
            socket: self.dir.path().join("agent.sock"),
            socket_group: GroupName::root(),
            metrics_listen: "127.0.0.1:0".parse().unwrap(),
            window: Duration::from_secs(3600),
            snapshots_max: std::num::NonZeroUsize::MAX,
            peers: Default::default(),
        }
    }

    /// The same of a node that has joined a registrar, where nobody answers.
    pub(crate) fn config_of_a_member(&self) -> AgentConfig {
        let config = AgentConfig {
            multicast: Default::default(),
            registrar: Some("https://127.0.0.1:1".to_owned()),
            ..self.config()
        };
        let (authority, _) = Authority::create(&self.dir.path().join("authority")).unwrap();
        let (identity, request) = ("node:c17".parse().unwrap(), KeyRequest::new().unwrap());
        let issued = authority.issue(&identity, request.request_pem(), Duration::from_secs(3600)).unwrap();
        let ca = authority.certificate_pem();
        Credentials::store(&config.identity_dir(), &request, &issued.certificate_pem, ca).unwrap();
        config
    }

    pub(crate) fn layout(&self) -> Layout {
        Layout::of(&self.config(), &"c17".parse().unwrap()).unwrap()
    }

    /// Starts the volume's owner alone.
    pub(crate) async fn start_volume(&mut self) -> Result<(), OpenError> {
        let cancel = CancellationToken::new();
        let zfs: Arc<dyn Zfs> = self.zfs.clone();
        let volume = Volume::open(zfs, Arc::new(OverlayFiles), self.layout(), cancel.clone()).await?;
        let (handle, orders) = volume.handle();
        let mut tasks = JoinSet::new();
        tasks.spawn(volume.run(orders));
        let (watching, stop) = (handle.clone().watch_bases(), cancel.clone());
        tasks.spawn(async move { stop.run_until_cancelled(watching).await.unwrap_or_default() });
        self.running = Some(Running { volume: handle, state: None, cancel, tasks });
        Ok(())
    }

    /// Starts the agent, following the registrar at `address`.
    pub(crate) async fn start(&mut self, address: String) {
        self.start_volume().await.unwrap();
        let registrar = Client::new(Endpoint::Tcp(address)).unwrap();
        let (fetch_dir, config) = (self.layout().fetch_dir, self.config());
        let running = self.running.as_mut().unwrap();
        let follower = Follower::new(FollowerParts {
            node: "c17".parse().unwrap(),
            host: Some("m.1".parse().unwrap()),
            registrar,
            dialer: Dialer::without_tls(),
            fetch_dir,
            volume: running.volume.clone(),
            revocations: Revocations::load(&config.state_dir),
            advertiser: None,
            multicast: MulticastReceiverConfig { enabled: false, interface: None },
            intervals: INTERVALS,
            metrics: self.metrics.clone(),
        });
        running.state = Some(follower.state());
        running.tasks.spawn(follower.run(running.cancel.clone()));
    }

    /// Stops the agent and waits for its end.
    pub(crate) async fn stop(&mut self) {
        let mut running = self.running.take().unwrap();
        running.cancel.cancel();
        while let Some(ended) = super::soon(running.tasks.join_next()).await {
            ended.unwrap();
        }
    }

    pub(crate) fn cancel(&self) -> CancellationToken {
        self.running.as_ref().unwrap().cancel.clone()
    }

    pub(crate) fn volume(&self) -> VolumeHandle {
        self.running.as_ref().unwrap().volume.clone()
    }

    /// Waits until the follower is in a state.
    pub(crate) async fn state(&self, wanted: impl Fn(&AgentState) -> bool) -> AgentState {
        let mut state = self.running.as_ref().unwrap().state.clone().unwrap();
        super::soon(state.wait_for(|state| wanted(state))).await.unwrap().clone()
    }

    /// Waits until the volume has a snapshot as its newest.
    pub(crate) async fn head(&self, wanted: &SnapshotName) {
        let mut published = self.volume().published();
        super::soon(published.wait_for(|state| state.head().is_some_and(|head| head.name == *wanted)))
            .await
            .unwrap();
    }

    /// Waits until it is in step at a snapshot.
    pub(crate) async fn in_step_at(&self, wanted: &SnapshotName) {
        self.head(wanted).await;
        self.state(|state| *state == AgentState::InStep).await;
    }

    pub(crate) fn vm(&self, file: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join("vms").join(file)
    }

    /// The views that exist in ZFS.
    pub(crate) async fn views(&self) -> Vec<DatasetName> {
        self.zfs.children(&self.layout().views).await.unwrap()
    }
}
