//! Putting an agent together, and ending it in order.

use crate::enrolment::{Membership, MembershipError};
use crate::follow::{Follower, FollowerParts, Intervals};
use crate::http::{self, Site};
use crate::layout::Layout;
use crate::metrics::Metrics;
use crate::peer::{self, Advertiser, PeerCache, PeerSite};
use crate::service_status;
use crate::volume::{OpenError, OverlayMaker, OverlayWatch, Volume, VolumeHandle};
use axum::Router;
use bootstash_base::error::Chain;
use bootstash_base::names::NameError;
use bootstash_daemon::config::AgentConfig;
use bootstash_daemon::{
    drain::shut_down_within,
    service_manager, tcp_listener,
    unix_socket::{self, ListenError},
};
use bootstash_delta::retention::Keep;
use bootstash_net::api::{AgentState, CallError};
use bootstash_net::download_limits::Downloads;
use bootstash_net::identity::{IdentityError, Permission};
use bootstash_net::server;
use bootstash_net::server::{guard, members_only};
use bootstash_zfs::Zfs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// An agent could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// It belongs to no registrar.
    #[error(transparent)]
    Membership(#[from] MembershipError),
    /// TLS.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The data set's name is too long.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The HTTP client.
    #[error(transparent)]
    Client(#[from] CallError),
    /// The Unix socket.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The port for Prometheus.
    #[error("cannot listen on {address} for Prometheus; set metrics_listen to a free address")]
    Metrics {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The port for other nodes.
    #[error(
        "cannot listen on {address} for other nodes; set peers.listen to a free address, or leave it out"
    )]
    Peers {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The directory of deltas for other nodes.
    #[error("cannot keep deltas for other nodes in {}", .path.display())]
    PeerCache {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The volume.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// How often the service manager is told, at most: while deltas are applied there is news all the time.
const SHOW_EVERY: Duration = Duration::from_secs(2);

/// An agent's tasks. They end when the token given at the start is cancelled.
#[derive(Debug)]
pub struct Agent {
    tasks: JoinSet<&'static str>,
    cancel: CancellationToken,
    socket: PathBuf,
    metrics: Metrics,
    following: watch::Receiver<AgentState>,
    volume: VolumeHandle,
}

/// A task ended although nobody asked it to.
#[derive(Debug, Error)]
#[error("the task {task} ended by itself")]
pub struct TaskEnded {
    task: String,
}

impl Agent {
    /// Takes the volume over and starts all tasks.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(
        config: &AgentConfig,
        zfs: Arc<dyn Zfs>,
        overlays: Arc<dyn OverlayMaker>,
        intervals: Intervals,
        cancel: CancellationToken,
    ) -> Result<Self, StartError> {
        let member = Membership::load(config)?;
        let layout = Layout::of(config, &member.node)?;
        let registrar = member.registrar(intervals.read_timeout)?;
        // First: whoever calls while the volume is taken over waits in the backlog.
        let listeners = Listeners::bind(config).await?;
        let volume = Volume::open(Arc::clone(&zfs), overlays, layout.clone(), cancel.clone()).await?;
        let (handle, orders) = volume.handle();
        let downloads = Downloads::new(config.peers.limits());
        let metrics = Metrics::serving(&downloads);
        let advertiser = listeners.advertiser(config, &layout).await?;
        let keeping = member.clone().keep(registrar.clone());
        let follower = Follower::new(FollowerParts {
            node: member.node.clone(),
            host: crate::host_id::of_this_host(),
            registrar,
            dialer: member.dialer(),
            fetch_dir: layout.fetch_dir.clone(),
            volume: handle.clone(),
            revocations: member.revocations.clone(),
            advertiser: advertiser.clone(),
            multicast: config.multicast.clone(),
            intervals,
            metrics: metrics.clone(),
        });
        let peers = advertiser.map(|advertiser| PeerSite {
            cache: advertiser.cache,
            downloads,
            volume: handle.clone(),
            zfs: Arc::clone(&zfs),
        });
        let watch = OverlayWatch::new(handle.clone(), layout.clone());
        let watching = handle.clone().watch_bases();
        let (following, volume_handle) = (follower.state(), handle.clone());
        let site = site(config, &member, zfs, layout, handle, &follower, metrics.clone());
        tracing::info!("following {} with {} as {}", member.registrar, config.dataset, member.node);
        let mut tasks = JoinSet::new();
        tasks.spawn(named("volume", volume.run(orders)));
        tasks.spawn(named("watch", until(cancel.clone(), bootstash_zfs::watch(site.zfs.clone()))));
        tasks.spawn(named("bases", until(cancel.clone(), watching)));
        tasks.spawn(named("follow", follower.run(cancel.clone())));
        tasks.spawn(named("overlays", until(cancel.clone(), watch.run())));
        tasks.spawn(named("membership", until(cancel.clone(), keeping)));
        listeners.serve(&mut tasks, site, peers, &member, &cancel);
        Ok(Self { tasks, cancel, socket: config.socket.clone(), metrics, following, volume: volume_handle })
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Tells the service manager that the agent is ready, and how it goes from then on.
    pub fn tell_service_manager(&self) -> impl Future<Output = ()> + Send + 'static {
        let (mut following, mut volume) = (self.following.clone(), self.volume.published());
        service_manager::ready(&service_status::line(&following.borrow(), &volume.borrow()));
        async move {
            // An end of either is the agent's end.
            while tokio::select! { it = following.changed() => it, it = volume.changed() => it }.is_ok() {
                service_manager::status(&service_status::line(&following.borrow(), &volume.borrow()));
                tokio::time::sleep(SHOW_EVERY).await;
            }
        }
    }

    /// Waits until all tasks have ended.
    ///
    /// # Errors
    /// When one ended before the agent was told to stop; the others are then stopped.
    pub async fn finish(mut self) -> Result<(), TaskEnded> {
        let mut outcome = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            if !self.cancel.is_cancelled() {
                self.cancel.cancel();
                let task = ended.map_or_else(|panic| panic.to_string(), str::to_owned);
                outcome = Err(TaskEnded { task });
            }
        }
        // One that stays is replaced by the next agent.
        drop(std::fs::remove_file(&self.socket));
        outcome
    }
}

async fn named(name: &'static str, task: impl Future<Output = ()>) -> &'static str {
    task.await;
    name
}

/// What runs for ever, until the agent stops.
async fn until(cancel: CancellationToken, task: impl Future<Output = ()>) {
    cancel.run_until_cancelled(task).await;
}

fn site(
    config: &AgentConfig,
    member: &Membership,
    zfs: Arc<dyn Zfs>,
    layout: Layout,
    volume: VolumeHandle,
    follower: &Follower,
    metrics: Metrics,
) -> Site {
    Site {
        node: member.node.clone(),
        registrar: member.registrar.clone(),
        doctor: follower.doctor(config.multicast.clone()),
        zfs,
        layout,
        volume,
        following: follower.state(),
        identity_conflict: follower.identity_conflict(),
        metrics,
        credentials: member.store.clone(),
        keep: Keep { window: config.window, snapshots_max: config.snapshots_max.get() },
    }
}

/// How long connections may take to end once the agent stops.
const DRAIN: Duration = Duration::from_secs(5);

struct Listeners {
    command: UnixListener,
    metrics: TcpListener,
    peers: Option<TcpListener>,
}

impl Listeners {
    async fn bind(config: &AgentConfig) -> Result<Self, StartError> {
        let address = config.metrics_listen;
        let metrics =
            tcp_listener::listen(address).await.map_err(|source| StartError::Metrics { address, source })?;
        let peers = match config.peers.listen {
            Some(address) => Some(bind_for_peers(address).await?),
            None => None,
        };
        Ok(Self { command: unix_socket::listen(&config.socket, &config.socket_group).await?, metrics, peers })
    }

    /// What is advertised to other nodes, where there is a listener for them.
    async fn advertiser(
        &self,
        config: &AgentConfig,
        layout: &Layout,
    ) -> Result<Option<Advertiser>, StartError> {
        let Some(listener) = &self.peers else { return Ok(None) };
        let path = layout.peer_cache_dir.clone();
        let cache = PeerCache::open(path.clone(), config.peers.keep_bytes).await;
        let cache = cache.map_err(|source| StartError::PeerCache { path: path.clone(), source })?;
        let port = listener.local_addr().map_err(|source| StartError::PeerCache { path, source })?.port();
        Ok(Some(Advertiser { port, advertise: config.peers.advertise.clone(), cache }))
    }

    fn serve(
        self,
        tasks: &mut JoinSet<&'static str>,
        site: Site,
        peers: Option<PeerSite>,
        member: &Membership,
        cancel: &CancellationToken,
    ) {
        let metrics = guarded(http::metrics_routes(site.clone()), Permission::Scrape);
        spawn_network(tasks, "metrics", cancel, self.metrics, metrics, member);
        if let (Some(listener), Some(peers)) = (self.peers, peers) {
            let routes = guarded(peer::routes(peers), Permission::TakeFromPeer);
            spawn_network(tasks, "peers", cancel, listener, routes, member);
        }
        spawn_command_server(tasks, cancel, self.command, http::command_routes(site));
    }
}

async fn bind_for_peers(address: SocketAddr) -> Result<TcpListener, StartError> {
    tcp_listener::listen(address).await.map_err(|source| StartError::Peers { address, source })
}

/// Who asks decides what is done. Serving has no error of its own: a connection that fails is that
/// connection's end.
fn spawn_command_server(
    tasks: &mut JoinSet<&'static str>,
    cancel: &CancellationToken,
    listener: UnixListener,
    routes: Router,
) {
    let stop = cancel.clone();
    let service = routes.into_make_service_with_connect_info::<http::Peer>();
    let server = axum::serve(listener, service).with_graceful_shutdown(cancel.clone().cancelled_owned());
    tasks.spawn(named("command socket", async move {
        drop(shut_down_within(DRAIN, &stop, server.into_future()).await);
    }));
}

/// On the network no route is reached without the permission for it.
fn guarded(routes: Router, permission: Permission) -> Router {
    members_only(guard(routes, permission), None)
}

fn spawn_network(
    tasks: &mut JoinSet<&'static str>,
    name: &'static str,
    cancel: &CancellationToken,
    listener: TcpListener,
    routes: Router,
    member: &Membership,
) {
    let (store, revoked, stop) = (member.store.clone(), member.revocations.list().clone(), cancel.clone());
    tasks.spawn(named(name, async move {
        if let Err(error) = server::serve(listener, routes, &store, revoked, stop, DRAIN).await {
            tracing::error!("{name}: {}", Chain(&error));
        }
    }));
}
