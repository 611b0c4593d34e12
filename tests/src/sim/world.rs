//! A storage node, some compute nodes, the network between them, and who gives commands.

use super::host::Host;
use super::invariants;
use super::model::Model;
use super::network::Network;
use super::node::Node;
use super::operator::Operator;
use super::pool::Pool;
use super::storage::{Backup, StorageNode};
use super::time;
use bootstash_zfs::Zfs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How long snapshots are kept where a collection does not say.
pub(super) const WINDOW: Duration = Duration::from_secs(20 * 60);
/// So few that a history comes to it.
pub(super) const SNAPSHOTS_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(7);
/// The names that images get; each may stand for any base.
pub(super) const IMAGES: [&str; 4] = ["alma9", "alpine", "debian12", "ubuntu24"];

/// All hosts of a seed, their network, and what drives them.
pub(super) struct World {
    /// Draws what happens next.
    pub(super) rng: Arc<Host>,
    pub(super) model: Arc<Model>,
    pub(super) network: Arc<Network>,
    pub(super) storage: Arc<StorageNode>,
    pub(super) nodes: Vec<Arc<Node>>,
    pub(super) operator: Operator,
    pub(super) bases: Vec<PathBuf>,
    pub(super) backups: Vec<Backup>,
    pub(super) overlays: u64,
    /// All is healed, and nothing more is to go wrong.
    pub(super) healed: Arc<AtomicBool>,
}

impl World {
    /// The world of a seed, below `dir`, with nothing running.
    pub(super) async fn new(
        seed: u64,
        dir: &Path,
        bases: &[PathBuf],
        model: &Arc<Model>,
    ) -> anyhow::Result<Self> {
        let network = Arc::new(Network::default());
        let rng = Host::new("rng", 0, seed, model);
        let host = Host::new("storage", 1, seed, model);
        let state_dir = dir.join("storage");
        std::fs::create_dir_all(&state_dir)?;
        let pool = Pool::new(seed.wrapping_mul(31)).await;
        let storage = StorageNode::new(host, pool, state_dir, WINDOW, &network);
        let mut nodes = Vec::new();
        for number in 1..=rng.draw(|rng| rng.u64(2..=5)) {
            let host = Host::new(&format!("node{number}"), number + 1, seed, model);
            let pool = Pool::new(seed.wrapping_mul(31) + number).await;
            nodes.push(Node::new(host, pool, dir.join(format!("node{number}")), WINDOW, &network)?);
        }
        let operator = Operator::new(&rng, &network, &storage)?;
        let (bases, model) = (bases.to_vec(), Arc::clone(model));
        let (backups, overlays, healed) = (Vec::new(), 0, Arc::default());
        Ok(Self { rng, model, network, storage, nodes, operator, bases, backups, overlays, healed })
    }

    /// Checks what must hold at any instant.
    pub(super) async fn check(&self) {
        self.storage.pool.check(&self.storage.host).await;
        for node in &self.nodes {
            node.pool.check(&node.host).await;
            node.check_tasks();
            self.check_volumes(node).await;
        }
        self.check_overlays();
    }

    async fn check_volumes(&self, node: &Node) {
        let Ok(layout) = node.layout() else { return };
        let owner = invariants::Owner::Node(node.host.name.clone());
        let checker = invariants::InvariantChecker { model: Arc::clone(&self.model), owner };
        for generation in invariants::generations(&node.pool.fake, &layout.volume).await {
            for snapshot in &generation.snapshots {
                checker.is_what_was_taken(&node.pool.fake, &generation.dataset, snapshot);
            }
        }
    }

    /// Each overlay's cache is what it was when the overlay was made.
    fn check_overlays(&self) {
        for node in &self.nodes {
            self.model.overlays_of(&node.host.name);
        }
        let mut wrong = Vec::new();
        for (path, overlay) in &self.model.facts().overlays {
            match std::fs::read(&overlay.cache) {
                Ok(bytes) if bytes == overlay.bytes => (),
                Err(_) if overlay.rebooted => (),
                Ok(_) => wrong.push(format!("cache of {} of {} is another", name(path), overlay.node)),
                Err(_) => wrong.push(format!("cache of {} of {} is gone", name(path), overlay.node)),
            }
        }
        for wrong in wrong {
            self.model.violated(format_args!("{wrong}"));
        }
    }

    /// Whether a node has the registrar's newest snapshot, and says that it is in step.
    pub(super) async fn is_in_step(&self, node: &Node) -> bool {
        let there = self.storage.pool.fake.snapshots(&self.storage.volume()).await.unwrap_or_default();
        let Some((volume, _)) = node.volume() else { return false };
        let here = volume.state().head().map(|head| head.guid);
        here == there.last().map(|head| head.guid)
            && node.state() == Some(bootstash_net::api::AgentState::InStep)
    }

    /// Lets time pass, between `least_ms` and `most_ms`.
    pub(super) async fn wait(&self, least_ms: u64, most_ms: u64) {
        self.rng.pause(least_ms, most_ms).await;
    }

    /// Waits until something is so, as often as is said; false where it does not become so.
    pub(super) async fn wait_for(&self, times: u32, every_ms: u64, so: impl AsyncFn() -> bool) -> bool {
        for _ in 0..times {
            if so().await {
                return true;
            }
            self.wait(every_ms, every_ms).await;
        }
        so().await
    }

    pub(super) fn now_ms(&self) -> u64 {
        time::now_ms()
    }
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
