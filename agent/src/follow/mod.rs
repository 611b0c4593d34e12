//! Following the registrar: at start and at each event, compare and apply what is missing.
//!
//! Promises: nothing is asked for that is here; a registrar that is gone is waited for; a failure
//! that only a person can mend changes nothing, is reported, and heals by itself once mended.

mod apply;
mod error;
mod fetch;
mod fetch_error;
mod full;
mod health;
mod intervals;
mod partial_file;
mod report;
mod source;
mod stage;

#[cfg(test)]
mod tests;

pub use error::FollowError;
pub use fetch_error::FetchError;
pub use intervals::Intervals;

use crate::enrolment::Revocations;
use crate::metrics::Metrics;
use crate::multicast::Doctor;
use crate::peer::Advertiser;
use crate::volume::{ApplyError, VolumeHandle};
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_base::names::{Guid, NodeName};
use bootstash_daemon::config::MulticastReceiverConfig;
use bootstash_delta::VolumeLog;
use bootstash_delta::replication;
use bootstash_delta::replication::{Conflict, FullReason, Plan};
use bootstash_net::api::{
    AgentState, Client, Dialer, HostId, IdentityConflict, LogQuery, LogReply, NodeReport, routes,
};
use fetch::Fetcher;
use health::Health;
use report::Reporter;
use stage::{Event, Stage};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// An answer that says nothing new and came faster than this was not held back; asking again at once
/// would keep both sides busy for nothing.
const MIN_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How long one delta over many snapshots is waited for before each is fetched.
const COMBINING_PATIENCE: Duration = Duration::from_secs(600);
const COMBINING_PAUSE: Duration = Duration::from_millis(200);

/// What a follower works with.
#[derive(Debug)]
pub struct FollowerParts {
    /// The name it reports under.
    pub node: NodeName,
    /// The host it runs on, as far as that is known.
    pub host: Option<HostId>,
    /// The registrar it follows.
    pub registrar: Client,
    /// Calls peers.
    pub dialer: Dialer,
    /// Where deltas are kept until they are applied. It belongs to the follower alone.
    pub fetch_dir: PathBuf,
    /// The volume it keeps up to date.
    pub volume: VolumeHandle,
    /// Told which certificates the registrar revoked.
    pub revocations: Revocations,
    /// Keeps applied deltas for peers, and tells the registrar of them; none where this node serves no peers.
    pub advertiser: Option<Advertiser>,
    /// Whether and where multicast is received.
    pub multicast: MulticastReceiverConfig,
    /// How long it waits for what.
    pub intervals: Intervals,
    /// Where it counts.
    pub metrics: Metrics,
}

/// Follows one registrar with one volume.
#[derive(Debug)]
pub struct Follower {
    registrar: Client,
    volume: VolumeHandle,
    fetcher: Fetcher,
    reporter: Reporter,
    health: Health,
    intervals: Intervals,
    metrics: Metrics,
    state: watch::Sender<AgentState>,
    /// Other hosts use this node's identity, as the registrar says.
    identity_conflict: watch::Sender<Option<IdentityConflict>>,
    host: Option<HostId>,
    stage: Stage,
    revocations: Revocations,
    /// None where this node serves no peers.
    advertiser: Option<Advertiser>,
}

/// What one comparison led to.
enum Step {
    InStep,
    /// Something was applied: compare again.
    Again,
}

impl Follower {
    /// A follower; [`Self::run`] makes it go.
    pub fn new(parts: FollowerParts) -> Self {
        let FollowerParts { node, host, registrar, dialer, fetch_dir, volume, .. } = parts;
        let FollowerParts { revocations, advertiser, multicast, intervals, metrics, .. } = parts;
        Self {
            fetcher: Fetcher::new(registrar.clone(), dialer, multicast, fetch_dir, metrics.clone()),
            reporter: Reporter::new(registrar.clone(), &node, intervals.report),
            health: Health::new(intervals),
            state: watch::Sender::new(AgentState::Starting),
            identity_conflict: watch::Sender::default(),
            host,
            stage: Stage::at_start(volume.state().head().is_some()),
            registrar,
            volume,
            revocations,
            advertiser,
            intervals,
            metrics,
        }
    }

    /// Finds out whether this node would hear them.
    pub fn doctor(&self, config: MulticastReceiverConfig) -> Doctor {
        Doctor::new(self.registrar.clone(), config)
    }

    /// What it is doing.
    pub fn state(&self) -> watch::Receiver<AgentState> {
        self.state.subscribe()
    }

    /// Which other hosts use this node's identity.
    pub fn identity_conflict(&self) -> watch::Receiver<Option<IdentityConflict>> {
        self.identity_conflict.subscribe()
    }

    /// Follows until the agent stops.
    pub async fn run(mut self, cancel: CancellationToken) {
        cancel.run_until_cancelled(self.follow_forever()).await;
    }

    async fn follow_forever(&mut self) {
        loop {
            let wait = match self.round().await {
                Ok(wait) => wait,
                Err(error) => {
                    let (state, wait) = self.health.failed(&error);
                    self.enter_after(Event::Failed { unreachable: self.health.registrar_unreachable() });
                    self.state.send_replace(state);
                    wait
                }
            };
            self.report().await;
            tokio::time::sleep(wait).await;
        }
    }

    /// Waits for news where this node is in step, compares, applies, until it is in step. Gives the
    /// time to wait before the next round.
    async fn round(&mut self) -> Result<Duration, FollowError> {
        let mut poll = self.long_poll();
        let asked = Instant::now();
        let mut changed = false;
        loop {
            let log = self.log(poll).await?;
            self.wait_for_jitter(&log).await;
            self.enter_after(Event::LogReceived);
            match self.carry_out_plan(&log).await? {
                Step::InStep => break,
                Step::Again => (poll, changed) = (Duration::ZERO, true),
            }
        }
        self.finish_in_step().await?;
        let too_soon = !changed && !poll.is_zero() && asked.elapsed() < MIN_POLL_INTERVAL.min(poll);
        Ok(if too_soon { MIN_POLL_INTERVAL } else { Duration::ZERO })
    }

    fn enter_after(&mut self, event: Event) {
        self.stage = std::mem::replace(&mut self.stage, Stage::InStep).after(event);
    }

    /// Waits a moment of its own before the first download after a start, or after the registrar was away.
    async fn wait_for_jitter(&mut self, log: &VolumeLog) {
        let behind = log.snapshots.last().map(|newest| newest.guid)
            != self.volume.state().head().map(|head| head.guid);
        if self.stage.wants_jitter() && behind {
            tokio::time::sleep(self.intervals.download_jitter.mul_f64(fastrand::f64())).await;
        }
    }

    async fn finish_in_step(&mut self) -> Result<(), FollowError> {
        if self.stage.has_stale_catalog() {
            self.volume.read_catalog().await?;
            self.enter_after(Event::CatalogRead);
        }
        if self.stage != Stage::InStep {
            // Of an agent that died, or of a call that failed when its work was done.
            self.fetcher.clear().await;
        }
        self.enter_after(Event::CameInStep);
        self.health.well();
        self.metrics.in_step();
        self.state.send_replace(AgentState::InStep);
        Ok(())
    }

    /// Lets the registrar hold its answer back only where this node is known to be in step: what is
    /// shown of it must not be older than needs be.
    fn long_poll(&self) -> Duration {
        match *self.state.borrow() {
            AgentState::InStep => self.intervals.jittered_poll(fastrand::f64()),
            _ => Duration::ZERO,
        }
    }

    /// The registrar's log. Where it combines what this node lacks into one delta, the one with that.
    async fn log(&mut self, mut poll: Duration) -> Result<VolumeLog, FollowError> {
        let asked = Instant::now();
        loop {
            let query = LogQuery {
                after: self.head(),
                expelled: self.revocations.list().expelled().len(),
                wait_seconds: poll.as_secs(),
                host: self.host.clone(),
            };
            let LogReply { log, expelled, multicast, combining, identity_conflict } =
                self.registrar.get(routes::LOG, &query).await?;
            self.note_conflict(identity_conflict);
            self.fetcher.join(multicast).await;
            self.revocations.replace(expelled).await;
            let newest = log.snapshots.last().filter(|_| combining && asked.elapsed() < COMBINING_PATIENCE);
            let Some(newest) = newest else { return Ok(log) };
            self.state.send_replace(AgentState::Applying { to: newest.name.clone(), transfer: None });
            // The registrar has held its answer back.
            poll = Duration::ZERO;
            tokio::time::sleep(COMBINING_PAUSE).await;
        }
    }

    /// Logged when it begins and when it ends, not each time the registrar says so.
    fn note_conflict(&self, conflict: Option<IdentityConflict>) {
        let before = self.identity_conflict.send_replace(conflict.clone());
        match (before, conflict) {
            (None, Some(conflict)) => tracing::error!("{conflict}"),
            (Some(_), None) => tracing::info!("no other host uses this node's identity any more"),
            _ => (),
        }
    }

    async fn carry_out_plan(&mut self, log: &VolumeLog) -> Result<Step, FollowError> {
        match replication::plan(&self.volume.state().snapshots, log) {
            Plan::UpToDate => return Ok(Step::InStep),
            Plan::Apply(deltas) => {
                for delta in &deltas {
                    let planned = self.head();
                    match self.fetch_and_apply(delta).await {
                        // The plan was for another volume than the one that is here.
                        Err(FollowError::Apply(ApplyError::WrongBase { .. })) if self.head() != planned => {
                            return Ok(Step::Again);
                        }
                        applied => applied?,
                    }
                    // Others may wait for what was just applied, or for this node to want the next.
                    self.report().await;
                }
            }
            Plan::Full { reason: FullReason::Empty } => {
                return self.receive_full_volume().await;
            }
            Plan::Full { reason } => return self.resync(reason.to_string(), false).await,
            Plan::Diverged { conflict: conflict @ Conflict::RegistrarEmpty { .. } } => {
                return Err(FollowError::Diverged { conflict });
            }
            Plan::Diverged { conflict } => return self.resync(conflict.to_string(), true).await,
        }
        Ok(Step::Again)
    }

    fn head(&self) -> Option<Guid> {
        self.volume.state().head().map(|head| head.guid)
    }

    /// Begins anew beside the volume that is there. Said once, however often it takes; a volume that the
    /// registrar does not know is kept.
    async fn resync(&mut self, why: String, unknown: bool) -> Result<Step, FollowError> {
        let planned = self.head();
        self.volume.refresh().await?;
        if self.head() != planned {
            // The plan was for another volume than the one that would be replaced now.
            return Ok(Step::Again);
        }
        if unknown {
            // Each time: what is here now may have its name in common with what was replaced before.
            self.volume.keep_unknown(why.clone()).await?;
            kill_point(KillPoint::ResyncNoted);
        }
        if !self.stage.resyncs_for(&why) {
            tracing::warn!("receiving the whole volume beside the one that is here: {why}");
            self.metrics.resync();
            self.enter_after(Event::ResyncStarted(why));
        }
        self.receive_full_volume().await
    }

    pub(super) async fn report(&mut self) {
        if self.health.registrar_unreachable() {
            self.reporter.forget();
            return;
        }
        let problem = self.health.problem();
        let head = self.volume.state().head().cloned();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let peer = self.advertiser.as_ref().map(Advertiser::advertisement);
        self.reporter
            .send(NodeReport {
                head,
                version,
                problem,
                peer,
                multicast_ok: self.fetcher.receives_multicast(),
                host: self.host.clone(),
            })
            .await;
    }
}
