//! The registrar as a daemon, from configuration to the last task's end.

use crate::assembly::Registrar;
use crate::ca::{MemberError, Members};
use crate::download_limits::DownloadLimits;
use crate::register::Capturer;
use anyhow::Context;
use bootstash_daemon::config::RegistrarConfig;
use bootstash_daemon::drain::shut_down_within;
use bootstash_daemon::{service_manager, tcp_listener, unix_socket};
use bootstash_net::identity::IdentityError;
use bootstash_net::server;
use bootstash_zfs::Zfs;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// How long connections may take to end once the registrar stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Runs a registrar until `stop` is cancelled.
///
/// # Errors
/// When it cannot start, or a listener breaks.
pub async fn run(
    config: RegistrarConfig,
    zfs: Arc<dyn Zfs>,
    capturer: Arc<dyn Capturer>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let serving = DownloadLimits::new(&config.serving);
    run_with_limits(config, serving, zfs, capturer, stop).await
}

/// The same, with limits that somebody else can change.
///
/// # Errors
/// When it cannot start, or a listener breaks.
pub async fn run_with_limits(
    config: RegistrarConfig,
    serving: DownloadLimits,
    zfs: Arc<dyn Zfs>,
    capturer: Arc<dyn Capturer>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    std::fs::create_dir_all(&config.state_dir).context("cannot make the state directory")?;
    // Listeners first: a second registrar or a taken port shows before anything changes.
    let socket = unix_socket::listen(&config.socket, &config.socket_group).await?;
    let tcp =
        tcp_listener::listen(config.listen).await.context(format!("cannot listen on {}", config.listen))?;
    let port = tcp.local_addr().context("the listener has no address")?.port();
    let members = Members::load(&config.identity_dir(), config.certificate_lifetime, port);
    let members = Arc::new(members.map_err(explained)?);
    // Dropped, they end.
    let _watch = AbortOnDropHandle::new(tokio::spawn(bootstash_zfs::watch(Arc::clone(&zfs))));
    let keeper = Arc::clone(&members);
    let ending = stop.clone();
    let _renewal = AbortOnDropHandle::new(tokio::spawn(async move { keeper.keep_own(ending).await }));
    let start = Registrar::start(&config, serving, Arc::clone(&members), zfs, capturer, stop.clone());
    let registrar = service_manager::starting("opening the volume", start).await?;
    tracing::info!(listen = %config.listen, socket = %config.socket.display(), "registrar is ready");
    service_manager::ready(&format!("serving {} on {}", config.dataset, config.listen));
    let _watchdog = AbortOnDropHandle::new(tokio::spawn(service_manager::watchdog(config.socket.clone())));
    let ends = stop.clone();
    let _stopping = AbortOnDropHandle::new(tokio::spawn(async move {
        ends.cancelled().await;
        service_manager::stopping();
    }));

    let operators = axum::serve(socket, registrar.operator_routes())
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    let (routes, revoked) = (registrar.network_routes(), members.revoked().clone());
    let network = server::serve(tcp, routes, members.credentials(), revoked, stop.clone(), DRAIN);
    let operators = shut_down_within(DRAIN, &stop, operators.into_future());
    let served = tokio::try_join!(async { operators.await.context("cannot serve the socket") }, async {
        network.await.context("cannot serve the network")
    },);
    registrar.finish().await?;
    drop(std::fs::remove_file(&config.socket));
    served.map(drop)
}

fn explained(error: MemberError) -> anyhow::Error {
    let hint = match &error {
        MemberError::Identity(IdentityError::Missing { .. }) => "run `bootstash-registrar init` once",
        _ => "cannot tell who belongs to this registrar",
    };
    anyhow::Error::from(error).context(hint)
}
