//! The registrar as a daemon, from configuration to the last task's end.

use crate::assembly::Registrar;
use crate::register::Capturer;
use crate::serving::Serving;
use anyhow::Context;
use bootstash::config::RegistrarConfig;
use bootstash::lifecycle::{self, shut_down_within};
use bootstash::zfs::{self, Zfs};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
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
    let serving = Serving::new(&config.serving);
    run_serving(config, serving, zfs, capturer, stop).await
}

/// The same, with limits that somebody else can change.
///
/// # Errors
/// When it cannot start, or a listener breaks.
pub async fn run_serving(
    config: RegistrarConfig,
    serving: Serving,
    zfs: Arc<dyn Zfs>,
    capturer: Arc<dyn Capturer>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    std::fs::create_dir_all(&config.state_dir).context("cannot make the state directory")?;
    // Listeners first: a second registrar or a taken port shows before anything changes.
    let socket = lifecycle::listen(&config.socket, &config.socket_group).await?;
    let tcp =
        TcpListener::bind(config.listen).await.context(format!("cannot listen on {}", config.listen))?;
    // Dropped, it ends.
    let _watch = AbortOnDropHandle::new(tokio::spawn(zfs::watch(Arc::clone(&zfs))));
    let registrar = Registrar::start(&config, serving, zfs, capturer, stop.clone()).await?;
    tracing::info!(listen = %config.listen, socket = %config.socket.display(), "registrar is ready");

    let operators = axum::serve(socket, registrar.operator_routes())
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    let node_routes = registrar.node_routes().into_make_service_with_connect_info::<SocketAddr>();
    let nodes = axum::serve(tcp, node_routes).with_graceful_shutdown(stop.clone().cancelled_owned());
    let served = shut_down_within(DRAIN, &stop, async { tokio::try_join!(operators, nodes).map(drop) }).await;
    registrar.finish().await?;
    let _ = std::fs::remove_file(&config.socket);
    served.context("cannot serve")
}
