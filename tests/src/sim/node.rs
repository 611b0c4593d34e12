//! A compute node: the real volume's owner and the real follower on a pool of its own, which crash, stop,
//! sleep and are rebooted.

use super::host::{Host, Life};
use super::invariants::{InvariantChecker, Owner};
use super::network::{Network, SimTransport};
use super::overlays::SimOverlays;
use super::pool::{Pool, ROOT, dataset};
use super::storage::ADDRESS;
use super::zfs::SimZfs;
use bootstash_agent::enrolment::Revocations;
use bootstash_agent::follow::{Follower, FollowerParts, Intervals};
use bootstash_agent::layout::Layout;
use bootstash_agent::metrics::Metrics;
use bootstash_agent::volume::{Volume, VolumeHandle};
use bootstash_base::backoff::Backoff;
use bootstash_daemon::config::{AgentConfig, MulticastReceiverConfig, PeersConfig};
use bootstash_net::api::{AgentState, Client, Dialer, Endpoint};
use parking_lot::{Mutex, MutexGuard};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// As systemd does.
const RESTART_MS: u64 = 5000;
const INTERVALS: Intervals = Intervals {
    retry: Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(30) },
    stopped_retry: Duration::from_secs(60),
    long_poll: Duration::from_secs(60),
    download_jitter: Duration::from_secs(3),
    // The network's own doing: nothing here waits for a real answer.
    read_timeout: Duration::from_secs(90),
    report: Duration::from_secs(300),
};

/// An agent that runs.
#[derive(Debug)]
struct Running {
    life: Life,
    volume: VolumeHandle,
    state: watch::Receiver<AgentState>,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
enum Phase {
    Down,
    /// Starting or stopping.
    Busy(Life),
    Up(Box<Running>),
}

/// A compute node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) host: Arc<Host>,
    pub(super) pool: Pool,
    dir: PathBuf,
    window: Duration,
    network: Arc<Network>,
    /// One for all: it only writes requests.
    client: Client,
    phase: Mutex<Phase>,
    /// What was killed, and must not clean up.
    dead: Mutex<Vec<Running>>,
}

impl Node {
    pub(super) fn new(
        host: Arc<Host>,
        pool: Pool,
        dir: PathBuf,
        window: Duration,
        network: &Arc<Network>,
    ) -> anyhow::Result<Arc<Self>> {
        std::fs::create_dir_all(dir.join("vms"))?;
        let client = Client::new(Endpoint::Tcp(format!("http://{ADDRESS}")))?;
        let (phase, dead) = (Mutex::new(Phase::Down), Mutex::default());
        let network = Arc::clone(network);
        Ok(Arc::new(Self { host, pool, dir, window, network, client, phase, dead }))
    }

    fn config(&self) -> anyhow::Result<AgentConfig> {
        Ok(AgentConfig {
            multicast: Default::default(),
            node: Some(self.host.name.parse()?),
            registrar: None,
            dataset: dataset(ROOT),
            state_dir: self.dir.join("state"),
            views_dir: self.dir.join("views"),
            socket: self.dir.join("never-made"),
            socket_group: bootstash_base::names::GroupName::root(),
            metrics_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            window: self.window,
            snapshots_max: super::world::SNAPSHOTS_MAX,
            // Where the records say: a lost one is found again there.
            overlay_dirs: vec![self.dir.join("vms")],
            touched_dirs: Vec::new(),
            peers: PeersConfig::default(),
        })
    }

    pub(super) fn layout(&self) -> anyhow::Result<Layout> {
        Ok(Layout::of(&self.config()?, &self.host.name.parse()?)?)
    }

    /// Where an overlay may lie.
    pub(super) fn vm(&self, number: u64) -> PathBuf {
        self.dir.join("vms").join(format!("{number}.qcow2"))
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock()
    }

    pub(super) fn is_down(&self) -> bool {
        matches!(&*self.phase(), Phase::Down)
    }

    /// The way to its volume's owner, and the life that answers; none where the agent does not run.
    pub(super) fn volume(&self) -> Option<(VolumeHandle, Life)> {
        match &*self.phase() {
            Phase::Up(running) => Some((running.volume.clone(), running.life.clone())),
            _ => None,
        }
    }

    /// What the agent says it does.
    pub(super) fn state(&self) -> Option<AgentState> {
        match &*self.phase() {
            Phase::Up(running) => Some(running.state.borrow().clone()),
            _ => None,
        }
    }

    /// Starts the agent, and again until it starts.
    pub(super) fn start(self: &Arc<Self>) {
        let life = Life::new(&self.host);
        *self.phase() = Phase::Busy(life.clone());
        let this = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                let opened = this.open(&life).await;
                life.or_never().await;
                match opened {
                    Ok(running) => {
                        this.host.note(format_args!("up"));
                        *this.phase() = Phase::Up(Box::new(running));
                        break;
                    }
                    Err(error) => this.host.note(format_args!("did not start: {error}")),
                }
                life.pause(RESTART_MS, RESTART_MS).await;
            }
        });
    }

    async fn open(&self, life: &Life) -> anyhow::Result<Running> {
        let layout = self.layout()?;
        let model = Arc::clone(&self.host.model);
        let checker = InvariantChecker { model, owner: Owner::Node(self.host.name.clone()) };
        let zfs = Arc::new(SimZfs::new(&self.pool.fake, life, checker, &self.pool.failing));
        let overlays = Arc::new(SimOverlays { life: life.clone(), failing: Arc::clone(&self.pool.failing) });
        let cancel = CancellationToken::new();
        let volume = Volume::open(zfs, overlays, layout.clone(), cancel.clone()).await?;
        let (handle, orders) = volume.handle();
        let transport = SimTransport { network: Arc::clone(&self.network), life: life.clone(), sound: false };
        let registrar = self.client.clone().over(Arc::new(transport));
        let follower = Follower::new(FollowerParts {
            node: self.host.name.parse()?,
            host: None,
            registrar,
            dialer: Dialer::without_tls(),
            revocations: Revocations::load(&layout.fetch_dir.with_file_name("identity")),
            fetch_dir: layout.fetch_dir,
            volume: handle.clone(),
            advertiser: None,
            multicast: MulticastReceiverConfig { enabled: false, interface: None },
            intervals: INTERVALS,
            metrics: Metrics::new(),
        });
        let (state, mut tasks) = (follower.state(), JoinSet::new());
        tasks.spawn(volume.run(orders));
        tasks.spawn(follower.run(cancel.clone()));
        Ok(Running { life: life.clone(), volume: handle, state, cancel, tasks })
    }

    /// Kills the agent: at this instant nothing of it goes on.
    pub(super) fn kill(&self) {
        match std::mem::replace(&mut *self.phase(), Phase::Down) {
            Phase::Down => (),
            Phase::Busy(life) => life.kill(),
            Phase::Up(running) => {
                running.life.kill();
                self.dead.lock().push(*running);
            }
        }
        self.host.note(format_args!("killed"));
    }

    /// The agent is killed with all else on the host: nothing is mounted any more.
    pub(super) fn reboot(&self) -> std::io::Result<()> {
        self.kill();
        for overlay in self.host.model.facts().overlays.values_mut().filter(|it| it.node == self.host.name) {
            overlay.rebooted = true;
        }
        self.pool.fake.unmount_all()
    }

    /// The host is set up anew: nothing of it is left but foreign file systems.
    pub(super) async fn lose(&self) -> std::io::Result<()> {
        self.kill();
        for dir in ["state", "vms"] {
            drop(std::fs::remove_dir_all(self.dir.join(dir)));
        }
        std::fs::create_dir_all(self.dir.join("vms"))?;
        self.host.model.facts().nodes.remove(&self.host.name);
        self.pool.lose().await
    }

    /// Stops the agent in order and starts it again; nothing where it does not run.
    pub(super) fn restart(self: &Arc<Self>) {
        let mut phase = self.phase();
        let Phase::Up(running) = &*phase else { return };
        let busy = Phase::Busy(running.life.clone());
        let Phase::Up(mut running) = std::mem::replace(&mut *phase, busy) else { return };
        drop(phase);
        let this = Arc::clone(self);
        tokio::spawn(async move {
            running.cancel.cancel();
            while running.tasks.join_next().await.is_some() {}
            running.life.pause(0, 1000).await;
            this.host.note(format_args!("stopped"));
            running.life.kill();
            this.start();
        });
    }

    /// Whether a task of the agent has ended by itself.
    pub(super) fn check_tasks(&self) {
        if let Phase::Up(running) = &mut *self.phase()
            && running.tasks.try_join_next().is_some()
        {
            self.host.model.violated(format_args!("a task of {} ended by itself", self.host.name));
        }
    }
}
