//! What can happen next, and how likely.

use super::network::FaultRates;
use super::storage::Backup;
use super::world::{IMAGES, World};
use std::sync::Arc;
use std::time::Duration;

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Register,
    Deregister,
    Collect,
    CollectNode,
    CreateOverlay,
    RemoveOverlay,
    KillNode,
    RestartNode,
    /// A node is down until the registrar has collected what it stands at.
    MissMuch,
    RebootNode,
    LoseNode,
    KillStorage,
    RestartStorage,
    Backup,
    Restore,
    LoseStorage,
    FillPool,
    FailPool,
    Partition,
    NetworkFaults,
    JumpClock,
    DropUnknown,
    EndNetworkFaults,
}

/// Each with its weight.
const EVENTS: [(Event, u32); 23] = [
    (Event::Register, 26),
    (Event::Deregister, 7),
    (Event::Collect, 8),
    (Event::CollectNode, 8),
    (Event::CreateOverlay, 20),
    (Event::RemoveOverlay, 9),
    (Event::KillNode, 14),
    (Event::RestartNode, 4),
    (Event::MissMuch, 3),
    (Event::RebootNode, 3),
    (Event::LoseNode, 1),
    (Event::KillStorage, 8),
    (Event::RestartStorage, 3),
    (Event::Backup, 6),
    (Event::Restore, 5),
    (Event::LoseStorage, 1),
    (Event::FillPool, 3),
    (Event::FailPool, 3),
    (Event::Partition, 4),
    (Event::NetworkFaults, 4),
    (Event::JumpClock, 1),
    (Event::DropUnknown, 3),
    (Event::EndNetworkFaults, 4),
];

/// How long who is down stays so, in milliseconds: a moment, a while, longer than the window.
const DOWN_MS: [(u64, u64); 3] = [(100, 5_000), (5_000, 90_000), (1_300_000, 2_000_000)];

impl World {
    /// What happens next.
    pub(super) fn draw_event(&self) -> Event {
        let all: u32 = EVENTS.iter().map(|(_, weight)| weight).sum();
        let mut drawn = self.rng.draw(|rng| rng.u32(0..all));
        for (event, weight) in EVENTS {
            if drawn < weight {
                return event;
            }
            drawn -= weight;
        }
        Event::EndNetworkFaults
    }

    /// How long who goes down now stays so.
    pub(super) fn draw_down_ms(&self) -> u64 {
        let which = self.rng.draw(|rng| rng.usize(0..12));
        let (least, most) = DOWN_MS[[0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2][which]];
        self.rng.draw(|rng| rng.u64(least..most))
    }

    /// How long until the next event: mostly so short that it meets what goes on.
    pub(super) fn draw_gap_ms(&self) -> u64 {
        self.rng.draw(|rng| match rng.u32(0..100) {
            0..55 => rng.u64(0..400),
            55..85 => rng.u64(400..10_000),
            85..96 => rng.u64(10_000..120_000),
            _ => rng.u64(120_000..3_000_000),
        })
    }

    pub(super) fn draw_node(&self) -> usize {
        self.rng.draw(|rng| rng.usize(0..self.nodes.len()))
    }

    fn draw_window(&self) -> Option<Duration> {
        let drawn = self.rng.draw(|rng| rng.u64(0..4));
        [None, Some(0), Some(0), Some(120)][usize::try_from(drawn).unwrap_or(0)].map(Duration::from_secs)
    }

    /// Makes it happen. What takes time goes on beside what happens next.
    pub(super) async fn happen(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Register => self.register(),
            Event::Deregister => self.deregister(),
            Event::Collect => self.collect(),
            Event::CollectNode => self.collect_node(),
            Event::CreateOverlay => self.create_overlay(),
            Event::RemoveOverlay => self.remove_overlay(),
            Event::MissMuch => self.miss_much(Arc::clone(&self.nodes[self.draw_node()])),
            Event::KillNode | Event::RebootNode | Event::LoseNode => self.crash_node(event).await?,
            Event::RestartNode => self.nodes[self.draw_node()].restart(),
            Event::KillStorage | Event::Restore | Event::LoseStorage => self.crash_storage(event).await?,
            Event::RestartStorage => self.storage.restart(),
            Event::Backup => self.backups.push(self.storage.backup()?),
            Event::FillPool | Event::FailPool => self.trouble_pool(event),
            Event::Partition => self.partition(),
            Event::NetworkFaults => self.network.set_fault_rates(self.draw_fault_rates()),
            Event::EndNetworkFaults => self.network.set_fault_rates(FaultRates::default()),
            Event::JumpClock => self.jump_clock(),
            Event::DropUnknown => self.operator.drop_unknown(&self.nodes[self.draw_node()]).await,
        }
        Ok(())
    }

    fn jump_clock(&mut self) {
        super::time::jump(self.rng.draw(|rng| rng.i64(-3_600_000..7_200_000)));
        // By the new time, the registrar may not have heard of them for long.
        self.model.facts().reports.clear();
        self.backups.iter_mut().for_each(Backup::forget_reports);
    }

    fn register(&self) {
        let name = self.rng.draw(|rng| IMAGES[rng.usize(0..IMAGES.len())]);
        let base = self.rng.draw(|rng| rng.usize(0..self.bases.len()));
        let (operator, source) = (self.operator.clone(), self.bases[base].clone());
        tokio::spawn(async move { operator.register(name, &source).await });
        self.maybe_kill_storage(10_000);
    }

    fn deregister(&self) {
        let (name, publish) = self.rng.draw(|rng| (IMAGES[rng.usize(0..IMAGES.len())], rng.bool()));
        let operator = self.operator.clone();
        tokio::spawn(async move { operator.deregister(name, publish).await });
    }

    fn collect(&self) {
        let (operator, window) = (self.operator.clone(), self.draw_window());
        let dry_run = self.rng.happens(100);
        tokio::spawn(async move { operator.collect(window, dry_run).await });
        self.maybe_kill_storage(500);
    }

    fn collect_node(&self) {
        let (operator, node) = (self.operator.clone(), Arc::clone(&self.nodes[self.draw_node()]));
        let (window, dry_run) = (self.draw_window().unwrap_or(super::world::WINDOW), self.rng.happens(100));
        self.maybe_kill(&node, 500);
        tokio::spawn(async move { operator.collect_node(&node, window, dry_run).await });
    }

    fn create_overlay(&mut self) {
        self.overlays += 1;
        let (operator, node) = (self.operator.clone(), Arc::clone(&self.nodes[self.draw_node()]));
        let image = self.rng.draw(|rng| IMAGES[rng.usize(0..IMAGES.len())]);
        let path = node.vm(self.overlays);
        self.maybe_kill(&node, 700);
        tokio::spawn(async move { operator.create_overlay(&node, image, path).await });
    }

    fn remove_overlay(&self) {
        let node = Arc::clone(&self.nodes[self.draw_node()]);
        let mut overlays = self.model.overlays_of(&node.host.name);
        if overlays.is_empty() {
            return;
        }
        let path = overlays.swap_remove(self.rng.draw(|rng| rng.usize(0..overlays.len())));
        let operator = self.operator.clone();
        self.maybe_kill(&node, 400);
        tokio::spawn(async move { operator.remove_overlay(&node, path).await });
    }

    fn trouble_pool(&self, how: Event) {
        let which = self.rng.draw(|rng| rng.usize(0..=self.nodes.len()));
        let (storage, nodes) = (Arc::clone(&self.storage), self.nodes.clone());
        let set = move |on: bool| {
            let pool = nodes.get(which).map_or(&storage.pool, |node| &node.pool);
            match how {
                Event::FillPool => pool.fill(on),
                _ => pool.fail(if on { 60 } else { 0 }),
            }
        };
        set(true);
        let (rng, ms) = (Arc::clone(&self.rng), self.rng.draw(|rng| rng.u64(1_000..60_000)));
        tokio::spawn(async move {
            rng.pause(ms, ms).await;
            set(false);
        });
    }

    fn partition(&self) {
        let node = self.nodes[self.draw_node()].host.name.clone();
        self.network.partition(&node, true);
        let (network, rng, ms) = (Arc::clone(&self.network), Arc::clone(&self.rng), self.draw_down_ms());
        tokio::spawn(async move {
            rng.pause(ms, ms).await;
            network.partition(&node, false);
        });
    }

    fn draw_fault_rates(&self) -> FaultRates {
        self.rng.draw(|rng| {
            let mut often = || if rng.bool() { rng.u32(0..150) } else { 0 };
            FaultRates {
                lost: often(),
                answer_lost: often(),
                repeated: often(),
                refused: often(),
                cut: often(),
                damaged: often(),
            }
        })
    }
}
