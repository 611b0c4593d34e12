//! What every handler can reach.

use super::Restoring;
use crate::ca::Members;
use crate::download_limits::DownloadLimits;
use crate::job::JobRegistry;
use crate::layout::Layout;
use crate::metrics::Metrics;
use crate::multicast::{MulticastMetrics, MulticastSessions};
use crate::nodes::Nodes;
use crate::peers::Peers;
use crate::register::Runner;
use crate::volume::{Combiner, PublicationLog, VolumeHandle, VolumeReader};
use bootstash_delta::retention::Keep;
use bootstash_zfs::Zfs;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Shared by all handlers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct State {
    /// The registrations.
    pub jobs: Arc<JobRegistry>,
    /// Runs them.
    pub runner: Runner,
    /// Changes the volume.
    pub volume: VolumeHandle,
    /// Reads it.
    pub reader: VolumeReader,
    /// What is published.
    pub log: PublicationLog,
    /// Who belongs to us.
    pub members: Arc<Members>,
    /// The nodes heard of.
    pub nodes: Arc<Nodes>,
    /// What they hold for each other.
    pub peers: Arc<Peers>,
    /// Where things are.
    pub layout: Layout,
    /// For reading the volume's state; changes go through `volume`.
    pub zfs: Arc<dyn Zfs>,
    /// Has deltas combined for nodes far behind.
    pub combiner: Combiner,
    /// Sends deltas to all nodes at once.
    pub multicast: MulticastSessions,
    /// What that counts.
    pub multicast_metrics: MulticastMetrics,
    /// Lets downloads begin.
    pub serving: DownloadLimits,
    /// How far the restore under way is.
    pub restoring: Restoring,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// How long nodes count that are silent.
    pub window: Duration,
    /// How many snapshots are kept, and for how long.
    pub keep: Keep,
    /// Cancelled when the registrar stops: whoever waits for news is sent away.
    pub stop: CancellationToken,
}
