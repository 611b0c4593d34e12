//! What every handler can reach.

use crate::job::Board;
use crate::layout::Layout;
use crate::metrics::Metrics;
use crate::nodes::Nodes;
use crate::register::Runner;
use crate::volume::{PublicationLog, VolumeHandle, VolumeReader};
use bootstash::zfs::Zfs;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Shared by all handlers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct State {
    /// The registrations.
    pub board: Arc<Board>,
    /// Runs them.
    pub runner: Runner,
    /// Changes the volume.
    pub volume: VolumeHandle,
    /// Reads it.
    pub reader: VolumeReader,
    /// What is published.
    pub log: PublicationLog,
    /// The nodes heard of.
    pub nodes: Arc<Nodes>,
    /// Where things are.
    pub layout: Layout,
    /// For reading the volume's state; changes go through `volume`.
    pub zfs: Arc<dyn Zfs>,
    /// Permits for full streams straight from ZFS.
    pub streams: Arc<Semaphore>,
    /// Counts.
    pub metrics: Metrics,
    /// How long snapshots are kept.
    pub window: Duration,
    /// Cancelled when the registrar stops: whoever waits for news is sent away.
    pub stop: CancellationToken,
}
