//! The end of a seed: all faults end, and then everything must converge: in step, with nothing left over.

use super::model::Overlay;
use super::network::FaultRates;
use super::node::Node;
use super::world::{IMAGES, World};
use bootstash_base::names::DatasetName;
use bootstash_net::api::AgentState;
use bootstash_zfs::Zfs;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Registered last of all, under a name of its own.
const LAST: &str = "last";

impl World {
    /// Heals, waits, and looks for what is left.
    pub(super) async fn end(&mut self) -> anyhow::Result<()> {
        self.rng.note(format_args!("all is healed"));
        self.healed.store(true, Ordering::Relaxed);
        self.heal();
        if !self.settle().await {
            return Ok(());
        }
        self.check().await;
        self.check_rest().await?;
        self.clear().await?;
        self.check().await;
        Ok(())
    }

    fn heal(&self) {
        self.network.set_fault_rates(FaultRates::default());
        let pools = self.nodes.iter().map(|node| &node.pool).chain([&self.storage.pool]);
        for pool in pools {
            pool.fill(false);
            pool.fail(0);
        }
        for node in &self.nodes {
            self.network.partition(&node.host.name, false);
            if node.is_down() {
                node.start();
            }
        }
        if self.storage.is_down() {
            self.storage.start();
        }
    }

    /// Registrations end, one more succeeds, and all nodes get it.
    async fn settle(&self) -> bool {
        let idle = self.wait_for(120, 5_000, async || {
            // What was down for long may have been started, or fallen ill, meanwhile.
            self.heal();
            self.operator.jobs().await == Some(0)
        });
        if !idle.await {
            self.model.violated(format_args!("registrations do not end"));
            return false;
        }
        // Before anything new comes, they may only seem in step. A registrar announces what it could not
        // announce when it starts; but some are not started anew, so that what leaks in them shows.
        if self.rng.happens(500) && !self.storage.is_empty().await {
            self.storage.restart();
            if !self.all_in_step().await {
                return false;
            }
        }
        let registered = async || self.operator.register(LAST, &self.bases[0]).await;
        if !self.wait_for(5, 5_000, registered).await {
            self.model.violated(format_args!("nothing can be registered any more"));
            return false;
        }
        self.all_in_step().await
    }

    async fn all_in_step(&self) -> bool {
        let mut settled = true;
        for node in &self.nodes {
            let in_step = async || {
                self.heal();
                self.untangle(node).await;
                self.is_in_step(node).await
            };
            if !self.wait_for(300, 5_000, in_step).await {
                let (name, state) = (&node.host.name, node.state());
                self.model.violated(format_args!("{name} does not come in step: {state:?}"));
                settled = false;
            }
        }
        settled
    }

    /// Does what an agent that is stopped asks a person for: where snapshots of two histories have one name,
    /// the volume that was replaced must go, and what stands on it.
    async fn untangle(&self, node: &Node) {
        let Some(AgentState::Stopped { error }) = node.state() else { return };
        if !error.contains("different snapshots called") {
            return;
        }
        for path in self.model.overlays_of(&node.host.name) {
            self.operator.remove_overlay(node, path).await;
        }
        self.operator.collect_node(node, Duration::ZERO, false).await;
        self.operator.drop_unknown(node).await;
    }

    async fn check_rest(&self) -> anyhow::Result<()> {
        for node in &self.nodes {
            self.is_empty(&node.layout()?.fetch_dir, &node.host.name)?;
            self.is_mounted(node);
        }
        // Somebody may have been late to register once more.
        let work = self.storage.dir.join("work");
        self.wait_for(60, 1_000, async || std::fs::read_dir(&work).is_ok_and(|left| left.count() == 0)).await;
        self.is_empty(&work, "the registrar")?;
        for entry in std::fs::read_dir(self.storage.dir.join("deltas"))? {
            let name = entry?.file_name();
            if name.to_string_lossy().starts_with('.') {
                self.model.violated(format_args!("{} is left at the registrar", name.display()));
            }
        }
        Ok(())
    }

    /// Whatever was rebooted, views are mounted again.
    fn is_mounted(&self, node: &Node) {
        let gone = |it: &&Overlay| it.node == node.host.name && !it.cache.exists();
        let gone = self.model.facts().overlays.values().filter(gone).count();
        if gone > 0 {
            self.model.violated(format_args!("{gone} overlays of {} lack their cache", node.host.name));
        }
    }

    fn is_empty(&self, dir: &Path, whose: &str) -> anyhow::Result<()> {
        let left = std::fs::read_dir(dir)?.count();
        if left > 0 {
            let name = dir.file_name().unwrap_or_default().display();
            self.model.violated(format_args!("{left} files are left in {name} of {whose}"));
        }
        Ok(())
    }

    /// Without overlays, all that served them goes.
    async fn clear(&mut self) -> anyhow::Result<()> {
        let nodes = self.nodes.clone();
        for node in &nodes {
            let refused = !self.create_last_overlay(node).await;
            if refused && !has_ambiguous_names(node).await? {
                self.model.violated(format_args!("no overlay can be made on {}", node.host.name));
            }
            for path in self.model.overlays_of(&node.host.name) {
                if !self.operator.remove_overlay(node, path).await {
                    self.model.violated(format_args!("an overlay of {} cannot be removed", node.host.name));
                }
            }
            self.collect_all(node).await;
            // What no view stands on any more.
            self.operator.drop_unknown(node).await;
            self.collect_all(node).await;
            if refused {
                self.create_and_remove(node).await;
            }
            self.check_cleared(node).await?;
        }
        for name in IMAGES {
            self.operator.deregister(name, true).await;
        }
        if !self.operator.collect(Some(Duration::ZERO), false).await {
            self.model.violated(format_args!("the registrar cannot collect"));
        }
        for node in &nodes {
            if !self.wait_for(60, 5_000, async || self.is_in_step(node).await).await {
                self.model.violated(format_args!("{} is no longer in step", node.host.name));
            }
        }
        Ok(())
    }

    async fn collect_all(&self, node: &Node) {
        if !self.operator.collect_node(node, Duration::ZERO, false).await {
            self.model.violated(format_args!("{} cannot collect", node.host.name));
        }
    }

    async fn create_last_overlay(&mut self, node: &Node) -> bool {
        self.overlays += 1;
        self.operator.create_overlay(node, LAST, node.vm(self.overlays)).await
    }

    /// Once nothing else uses a name twice.
    async fn create_and_remove(&mut self, node: &Node) {
        let made = self.create_last_overlay(node).await;
        if !made || !self.operator.remove_overlay(node, node.vm(self.overlays)).await {
            self.model.violated(format_args!("no overlay can be made on {} and removed", node.host.name));
        }
        self.collect_all(node).await;
    }

    async fn check_cleared(&self, node: &Node) -> anyhow::Result<()> {
        let layout = node.layout()?;
        let ours = |names: Vec<DatasetName>| async move {
            let mut ours = Vec::new();
            for name in names {
                if node.pool.fake.dataset(&name).await?.is_some_and(|it| it.role.is_some()) {
                    ours.push(name);
                }
            }
            anyhow::Ok(ours)
        };
        let views = ours(node.pool.fake.children(&layout.views).await?).await?;
        if !views.is_empty() {
            self.model.violated(format_args!("views of {} are left: {views:?}", node.host.name));
        }
        // The root's other child holds the views.
        let volumes = ours(node.pool.fake.children(&layout.root).await?).await?;
        if volumes.len() != 2 {
            self.model.violated(format_args!("{} has {volumes:?}", node.host.name));
        }
        Ok(())
    }
}

/// Whether volumes of a node have different snapshots of one name: then no view is made until people dropped one.
async fn has_ambiguous_names(node: &Node) -> anyhow::Result<bool> {
    let mut guids = BTreeMap::new();
    for volume in node.pool.fake.children(&node.layout()?.root).await? {
        for snapshot in node.pool.fake.snapshots(&volume).await? {
            if *guids.entry(snapshot.name).or_insert(snapshot.guid) != snapshot.guid {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
