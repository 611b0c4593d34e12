//! The whole registrar, from configuration to the last task's end.

use crate::http::{self, State};
use crate::job::{Board, JobStore};
use crate::layout::Layout;
use crate::metrics::Metrics;
use crate::nodes::Nodes;
use crate::register::{Capturer, Runner};
use crate::volume::{PublicationLog, VolumeTask};
use anyhow::Context;
use bootstash::config::RegistrarConfig;
use bootstash::lifecycle::{self, shut_down_within};
use bootstash::zfs::Zfs;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Full streams straight from ZFS at once: each reads the whole volume.
const FULL_STREAMS: usize = 2;
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
    let layout = Layout::new(&config)?;
    layout.make_dirs().context("cannot make the state directory")?;
    layout.sweep_files().context("cannot clean the state directory")?;
    let nodes = Arc::new(Nodes::load(layout.nodes_file.clone())?);
    let board = Arc::new(Board::load(JobStore::new(layout.jobs.clone()))?);
    let log = PublicationLog::new(layout.deltas.clone());
    // Listeners first: a second registrar or a taken port shows before anything changes.
    let socket = lifecycle::listen(&config.socket).await?;
    let tcp =
        TcpListener::bind(config.listen).await.context(format!("cannot listen on {}", config.listen))?;
    let (task, volume) =
        VolumeTask::open(Arc::clone(&zfs), layout.clone(), log.clone(), Arc::clone(&nodes), config.window)
            .await?;

    let metrics = Metrics::new();
    let runner = Runner::new(
        Arc::clone(&board),
        capturer,
        volume.clone(),
        layout.clone(),
        metrics.clone(),
        config.capture.parallel,
        stop.clone(),
    );
    remove_stray_scratch(&layout, &board)?;
    for job in board.unfinished() {
        tracing::info!(%job, "registration goes on after a restart");
        runner.start(job);
    }
    let window = config.window;
    let state = State {
        board,
        runner: runner.clone(),
        volume,
        log,
        nodes,
        layout,
        zfs,
        streams: Arc::new(Semaphore::new(FULL_STREAMS)),
        metrics,
        window,
        stop: stop.clone(),
    };
    // The volume's task outlives the jobs, which need it to finish their step.
    let volume_stop = CancellationToken::new();
    let volume_task = tokio::spawn(task.run(volume_stop.clone()));
    tracing::info!(listen = %config.listen, socket = %config.socket.display(), "registrar is ready");

    let operators = axum::serve(socket, http::operator_routes(state.clone()))
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    let nodes =
        axum::serve(tcp, http::node_routes(state)).with_graceful_shutdown(stop.clone().cancelled_owned());
    let served = shut_down_within(DRAIN, &stop, async { tokio::try_join!(operators, nodes).map(drop) }).await;
    stop.cancel();
    runner.finish().await;
    volume_stop.cancel();
    volume_task.await.context("the volume's task broke")?;
    let _ = std::fs::remove_file(&config.socket);
    served.context("cannot serve")
}

/// Removes scratch files of jobs that ended, or that are not known.
fn remove_stray_scratch(layout: &Layout, board: &Board) -> anyhow::Result<()> {
    let open: Vec<String> = board.unfinished().iter().map(ToString::to_string).collect();
    for entry in std::fs::read_dir(layout.work()).context("cannot read the scratch directory")? {
        let entry = entry?;
        if !open.iter().any(|id| entry.file_name().to_str() == Some(id)) {
            std::fs::remove_dir_all(entry.path()).context("cannot clean the scratch directory")?;
        }
    }
    Ok(())
}
