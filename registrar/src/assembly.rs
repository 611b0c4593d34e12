//! The registrar without its listeners: what it keeps, its tasks, and the routes to serve.

use crate::ca::Members;
use crate::download_limits::DownloadLimits;
use crate::http::{self, Restoring, State};
use crate::job::{JobRegistry, JobStore};
use crate::layout::Layout;
use crate::metrics::Metrics;
use crate::multicast::{MulticastMetrics, MulticastSessions};
use crate::nodes::Nodes;
use crate::register::{Capturer, Runner};
use crate::volume::{Combiner, PublicationLog, VolumeReader, VolumeTask};
use anyhow::Context;
use axum::Router;
use bootstash_daemon::config::RegistrarConfig;
use bootstash_delta::retention::Keep;
use bootstash_zfs::Zfs;
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A registrar that runs. Call [`Self::finish`] to end it.
#[derive(Debug)]
pub struct Registrar {
    state: State,
    volume_task: JoinHandle<()>,
    keeping: JoinHandle<()>,
    volume_stop: CancellationToken,
}

impl Registrar {
    /// Takes the volume over, and takes up the registrations that a stop or a crash left unfinished.
    ///
    /// # Errors
    /// When it cannot start.
    pub async fn start(
        config: &RegistrarConfig,
        serving: DownloadLimits,
        members: Arc<Members>,
        zfs: Arc<dyn Zfs>,
        capturer: Arc<dyn Capturer>,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let layout = open_layout(config)?;
        let nodes = Arc::new(Nodes::load(layout.nodes_file.clone())?);
        // A crash can have come between the two files.
        nodes.apply_standings(&members.node_standings());
        let jobs = Arc::new(JobRegistry::load(JobStore::new(layout.jobs.clone()))?);
        let log = PublicationLog::new(layout.deltas.clone());
        let opened = VolumeTask::open(
            Arc::clone(&zfs),
            layout.clone(),
            log.clone(),
            Arc::clone(&nodes),
            config.window,
        );
        let (task, volume) = opened.await?;
        let multicast_metrics = MulticastMetrics::default();
        let metrics = Metrics::new(&serving.downloads, &multicast_metrics);
        let multicast = MulticastSessions::new(
            &config.multicast,
            Arc::clone(&nodes),
            log.clone(),
            multicast_metrics.clone(),
            stop.clone(),
        );
        let reader = VolumeReader::new(&layout.mountpoint);
        let runner = Runner::new(
            Arc::clone(&jobs),
            capturer,
            (volume.clone(), reader.clone()),
            layout.clone(),
            metrics.clone(),
            config.capture.parallel,
            stop.clone(),
        );
        take_up(&jobs, &runner, &layout)?;
        let keeping = tokio::spawn(Arc::clone(&nodes).keep(stop.clone()));
        let state = State {
            combiner: Combiner::new(volume.clone(), stop.clone()),
            jobs,
            runner,
            volume,
            reader,
            log,
            members,
            nodes,
            layout,
            zfs,
            peers: Arc::default(),
            serving,
            multicast,
            multicast_metrics,
            restoring: Restoring::default(),
            metrics,
            window: config.window,
            keep: Keep { window: config.window, snapshots_max: config.snapshots_max.get() },
            stop,
        };
        let volume_stop = CancellationToken::new();
        let volume_task = tokio::spawn(task.run(volume_stop.clone()));
        Ok(Self { state, volume_task, keeping, volume_stop })
    }

    /// What the command may ask.
    pub fn operator_routes(&self) -> Router {
        http::operator_routes(self.state.clone())
    }

    /// What is served on the network.
    pub fn network_routes(&self) -> Router {
        http::network_routes(self.state.clone())
    }

    /// Stops it and waits for its end. The step that each registration is at is left, or finished.
    ///
    /// # Errors
    /// When the volume's task broke.
    pub async fn finish(self) -> anyhow::Result<()> {
        self.state.stop.cancel();
        self.keeping.await.context("the task that keeps what nodes reported broke")?;
        self.state.runner.finish().await;
        self.state.multicast.finish().await;
        self.state.combiner.finish().await;
        // The volume's task outlives the jobs, which need it to finish their step.
        self.volume_stop.cancel();
        self.volume_task.await.context("the volume's task broke")
    }
}

fn open_layout(config: &RegistrarConfig) -> anyhow::Result<Layout> {
    let layout = Layout::new(config)?;
    layout.make_dirs().context("cannot make the state directory")?;
    layout.sweep_files().context("cannot clean the state directory")?;
    Ok(layout)
}

fn take_up(jobs: &JobRegistry, runner: &Runner, layout: &Layout) -> anyhow::Result<()> {
    remove_stray_scratch(layout, jobs)?;
    for job in jobs.unfinished() {
        tracing::info!(%job, "registration goes on after a restart");
        runner.start(job);
    }
    Ok(())
}

/// Removes scratch files of jobs that ended, or that are not known.
fn remove_stray_scratch(layout: &Layout, jobs: &JobRegistry) -> anyhow::Result<()> {
    let open: Vec<String> = jobs.unfinished().iter().map(ToString::to_string).collect();
    for entry in std::fs::read_dir(layout.work()).context("cannot read the scratch directory")? {
        let entry = entry?;
        if !open.iter().any(|id| entry.file_name().to_str() == Some(id)) {
            std::fs::remove_dir_all(entry.path()).context("cannot clean the scratch directory")?;
        }
    }
    Ok(())
}
