//! Daemons and hosts go down, and come back.

use super::events::Event;
use super::node::Node;
use super::storage::Part;
use super::world::{WINDOW, World};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How many commands in a thousand are followed by a kill that is meant to meet them.
const KILLED: u32 = 200;

impl World {
    pub(super) async fn crash_node(&self, how: Event) -> anyhow::Result<()> {
        let node = Arc::clone(&self.nodes[self.draw_node()]);
        match how {
            Event::RebootNode => node.reboot()?,
            Event::LoseNode => node.lose().await?,
            _ => node.kill(),
        }
        self.start_node_in(&node, self.draw_down_ms());
        Ok(())
    }

    pub(super) async fn crash_storage(&self, how: Event) -> anyhow::Result<()> {
        let storage = Arc::clone(&self.storage);
        storage.kill();
        match how {
            Event::Restore if !self.backups.is_empty() => {
                let (which, part) = self.rng.draw(|rng| (rng.usize(0..self.backups.len()), rng.u8(0..4)));
                let part = [Part::Both, Part::Both, Part::Pool, Part::StateDirectory][usize::from(part)];
                self.rng.note(format_args!("backup {which} is restored: {part:?}"));
                storage.restore(&self.backups[which], part).await?;
            }
            Event::LoseStorage => storage.lose(self.rng.happens(500)).await?,
            _ => (),
        }
        self.start_storage_in(self.draw_down_ms());
        Ok(())
    }

    fn start_node_in(&self, node: &Arc<Node>, ms: u64) {
        let (node, rng) = (Arc::clone(node), Arc::clone(&self.rng));
        tokio::spawn(async move {
            rng.pause(ms, ms).await;
            if node.is_down() {
                node.start();
            }
        });
    }

    fn start_storage_in(&self, ms: u64) {
        let (storage, rng) = (Arc::clone(&self.storage), Arc::clone(&self.rng));
        tokio::spawn(async move {
            rng.pause(ms, ms).await;
            if storage.is_down() {
                storage.start();
            }
        });
    }

    /// Kills a node's agent within `within_ms`, or not, by chance.
    pub(super) fn maybe_kill(&self, node: &Arc<Node>, within_ms: u64) {
        if !self.rng.happens(KILLED) {
            return;
        }
        let (node, rng, healed) = (Arc::clone(node), Arc::clone(&self.rng), Arc::clone(&self.healed));
        tokio::spawn(async move {
            rng.pause(0, within_ms).await;
            if healed.load(Ordering::Relaxed) {
                return;
            }
            node.kill();
            rng.pause(0, 5_000).await;
            if node.is_down() {
                node.start();
            }
        });
    }

    /// Kills the registrar within `within_ms`, or not, by chance.
    pub(super) fn maybe_kill_storage(&self, within_ms: u64) {
        if !self.rng.happens(KILLED) {
            return;
        }
        let (rng, healed) = (Arc::clone(&self.rng), Arc::clone(&self.healed));
        let storage = Arc::clone(&self.storage);
        tokio::spawn(async move {
            rng.pause(0, within_ms).await;
            if healed.load(Ordering::Relaxed) {
                return;
            }
            storage.kill();
            rng.pause(0, 5_000).await;
            if storage.is_down() {
                storage.start();
            }
        });
    }

    /// A node is down for longer than the window; when it comes back, what it stands at was collected.
    pub(super) fn miss_much(&self, node: Arc<Node>) {
        let (operator, rng, base) = (self.operator.clone(), Arc::clone(&self.rng), self.bases[0].clone());
        tokio::spawn(async move {
            node.kill();
            let long_ms = u64::try_from(WINDOW.as_millis()).unwrap_or(u64::MAX) + 60_000;
            rng.pause(long_ms, 2 * long_ms).await;
            operator.register("missed", &base).await;
            operator.deregister("missed", true).await;
            operator.collect(Some(Duration::ZERO), false).await;
            if node.is_down() {
                node.start();
            }
        });
    }
}
