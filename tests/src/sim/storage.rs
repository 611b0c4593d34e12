//! The storage node: the real registrar on a pool of its own, which crashes, restarts, is restored from
//! backups, and loses its volume.

use super::capturer::SimCapturer;
use super::host::{Host, Life};
use super::invariants::{InvariantChecker, Owner};
use super::model::Reported;
use super::network::{Network, Server};
use super::observer::AnswerChecker;
use super::pool::{Pool, ROOT, dataset, read_files};
use super::zfs::SimZfs;
use crate::enrolment;
use axum::extract::connect_info::MockConnectInfo;
use bootstash_base::names::{DatasetName, GroupName};
use bootstash_daemon::config::RegistrarConfig;
use bootstash_registrar::assembly::Registrar;
use bootstash_registrar::ca::Members;
use bootstash_registrar::download_limits::DownloadLimits;
use bootstash_zfs::Zfs;
use bootstash_zfs::fake::Checkpoint;
use parking_lot::{Mutex, MutexGuard};
use std::any::Any;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What nodes call, and what the command calls.
pub(super) const ADDRESS: &str = "registrar";
pub(super) const SOCKET: &str = "registrar.sock";
/// Every call comes from here.
const CALLER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
/// As systemd does.
const RESTART_MS: u64 = 5000;
/// Where the volume is mounted, in the state directory.
const MOUNTPOINT: &str = "volume";

/// What it is doing.
#[derive(Debug)]
enum Phase {
    Down,
    /// Starting or stopping.
    Busy(Life),
    Up(Life, Box<Registrar>),
}

/// What a backup brings back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Both,
    Pool,
    StateDirectory,
}

/// What the registrar had at an instant.
#[derive(Clone, Debug)]
pub(super) struct Backup {
    pool: Checkpoint,
    files: BTreeMap<PathBuf, Vec<u8>>,
    reports: BTreeMap<String, Reported>,
}

impl Backup {
    /// What is in it no longer says when a node was heard of.
    pub(super) fn forget_reports(&mut self) {
        self.reports.clear();
    }
}

/// The storage node.
#[derive(Debug)]
pub(super) struct StorageNode {
    pub(super) host: Arc<Host>,
    pub(super) pool: Pool,
    pub(super) dir: PathBuf,
    pub(super) window: Duration,
    network: Arc<Network>,
    phase: Mutex<Phase>,
    /// How often something was lost or restored.
    past: AtomicU64,
    /// What was killed, and must not clean up.
    dead: Mutex<Vec<Box<dyn Any + Send>>>,
}

impl StorageNode {
    pub(super) fn new(
        host: Arc<Host>,
        pool: Pool,
        dir: PathBuf,
        window: Duration,
        network: &Arc<Network>,
    ) -> Arc<Self> {
        let (phase, dead) = (Mutex::new(Phase::Down), Mutex::default());
        Arc::new(Self {
            host,
            pool,
            dir,
            window,
            network: Arc::clone(network),
            phase,
            past: AtomicU64::default(),
            dead,
        })
    }

    fn config(&self) -> RegistrarConfig {
        RegistrarConfig {
            multicast: Default::default(),
            dataset: dataset(ROOT),
            state_dir: self.dir.clone(),
            socket: self.dir.join("never-made"),
            socket_group: GroupName::root(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            certificate_lifetime: enrolment::LIFETIME,
            window: self.window,
            snapshots_max: super::world::SNAPSHOTS_MAX,
            capture: Default::default(),
            serving: Default::default(),
        }
    }

    /// The file system of the volume.
    pub(super) fn volume(&self) -> DatasetName {
        dataset("tank/bootstash/volume")
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock()
    }

    /// Another number each time that something was lost or restored.
    pub(super) fn past(&self) -> u64 {
        self.past.load(Ordering::Relaxed)
    }

    /// Whether its volume has no snapshot.
    pub(super) async fn is_empty(&self) -> bool {
        self.pool.fake.snapshots(&self.volume()).await.unwrap_or_default().is_empty()
    }

    pub(super) fn is_down(&self) -> bool {
        matches!(&*self.phase(), Phase::Down)
    }

    /// Starts it, and again until it starts.
    pub(super) fn start(self: &Arc<Self>) {
        let life = Life::new(&self.host);
        *self.phase() = Phase::Busy(life.clone());
        let this = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                let started = this.open(&life).await;
                life.or_never().await;
                match started {
                    Ok(registrar) => break this.serve(life, registrar),
                    Err(error) => this.host.note(format_args!("did not start: {error}")),
                }
                life.pause(RESTART_MS, RESTART_MS).await;
            }
        });
    }

    async fn open(&self, life: &Life) -> anyhow::Result<Registrar> {
        let model = Arc::clone(&self.host.model);
        let window_ms = u64::try_from(self.window.as_millis())?;
        let checker = InvariantChecker { model, owner: Owner::Registrar { window_ms } };
        let failing = &self.pool.failing;
        let zfs = Arc::new(SimZfs::new(&self.pool.fake, life, checker, failing));
        let capturer = Arc::new(SimCapturer { life: life.clone(), failing: Arc::clone(failing) });
        let config = self.config();
        let serving = DownloadLimits::new(&config.serving);
        // Beside its state, which can be lost: who belongs to it is no part of what is simulated.
        let identity = self.dir.with_extension("identity");
        bootstash_registrar::ca::init(&identity, enrolment::LIFETIME)?;
        let members = Arc::new(Members::load(&identity, enrolment::LIFETIME, 1)?);
        Registrar::start(&config, serving, members, zfs, capturer, CancellationToken::new()).await
    }

    fn serve(&self, life: Life, registrar: Registrar) {
        let observer = Arc::new(AnswerChecker::new(&self.host.model, self.dir.join("deltas")));
        for (address, routes) in [
            (ADDRESS, registrar.network_routes().layer(MockConnectInfo(CALLER))),
            (SOCKET, registrar.operator_routes()),
        ] {
            let server = Server { routes, life: life.clone(), observer: Arc::clone(&observer) as _ };
            self.network.serve(address, server);
        }
        self.host.note(format_args!("up"));
        *self.phase() = Phase::Up(life, Box::new(registrar));
    }

    fn close(&self) {
        self.host.model.forget_contacts();
        self.network.close(ADDRESS);
        self.network.close(SOCKET);
    }

    /// Kills it: at this instant nothing of it goes on.
    pub(super) fn kill(&self) {
        self.close();
        match std::mem::replace(&mut *self.phase(), Phase::Down) {
            Phase::Down => (),
            Phase::Busy(life) => life.kill(),
            Phase::Up(life, registrar) => {
                life.kill();
                self.dead.lock().push(registrar);
            }
        }
        self.host.note(format_args!("killed"));
    }

    /// Stops it in order and starts it again; nothing where it does not run.
    pub(super) fn restart(self: &Arc<Self>) {
        let mut phase = self.phase();
        let Phase::Up(life, _) = &*phase else { return };
        let busy = Phase::Busy(life.clone());
        let Phase::Up(life, registrar) = std::mem::replace(&mut *phase, busy) else { return };
        drop(phase);
        self.close();
        let this = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = registrar.finish().await {
                this.host.model.violated(format_args!("the registrar did not end well: {error:#}"));
            }
            life.pause(0, 1000).await;
            this.host.note(format_args!("stopped"));
            life.kill();
            this.start();
        });
    }

    /// What it has now.
    pub(super) fn backup(&self) -> std::io::Result<Backup> {
        let files = read_files(&self.dir, MOUNTPOINT)?;
        let reports = self.host.model.facts().reports.clone();
        Ok(Backup { pool: self.pool.fake.checkpoint()?, files, reports })
    }

    /// Puts a part of what it had in the place of what it has. It must be down.
    pub(super) async fn restore(&self, to: &Backup, part: Part) -> std::io::Result<()> {
        self.past.fetch_add(1, Ordering::Relaxed);
        if part != Part::StateDirectory {
            self.pool.restore(&to.pool).await?;
        }
        if part != Part::Pool {
            self.clear_state()?;
            for (path, bytes) in &to.files {
                std::fs::create_dir_all(path.parent().unwrap_or(&self.dir))?;
                std::fs::write(path, bytes)?;
            }
            self.host.model.facts().reports = to.reports.clone();
        }
        Ok(())
    }

    /// The pool is lost, and with it or not what lay beside it. It must be down.
    pub(super) async fn lose(&self, all: bool) -> std::io::Result<()> {
        self.past.fetch_add(1, Ordering::Relaxed);
        self.pool.lose().await?;
        if all {
            self.clear_state()?;
            self.host.model.facts().reports.clear();
        }
        Ok(())
    }

    fn clear_state(&self) -> std::io::Result<()> {
        read_files(&self.dir, MOUNTPOINT)?.keys().try_for_each(std::fs::remove_file)
    }
}
