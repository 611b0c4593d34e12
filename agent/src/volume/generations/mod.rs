//! Generations: a volume that no delta brings up to date is received anew beside the one that is there,
//! which goes on serving overlays until nobody needs it.
//!
//! Promises: the newest generation with a snapshot is the node's volume, so a receive that breaks off
//! changes nothing; one that was replaced goes only when no view stands on it, and one that the
//! registrar does not know only by hand. What is known of them is what ZFS said at start, after a change that failed
//! and when collecting, and what was done since.

mod abortable;
mod apply;
mod expire;
mod receive;
mod replaced;

pub use apply::ApplyError;
pub(super) use apply::open_delta;
pub use receive::Incoming;
pub(super) use receive::{Ended, Receiving};

use super::views::ViewError;
use super::zfs_turn::ZfsTurn;
use crate::layout::Layout;
use bootstash_base::names::{DatasetName, NameError, SnapshotName};
use bootstash_zfs::{ReadError, ResumeToken, Snapshot, Zfs};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// After how long ZFS is asked anew, should nothing have changed that: snapshots can be destroyed by hand.
const STALE_AFTER: Duration = Duration::from_secs(300);

/// One of a node's volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Generation {
    pub(super) number: u32,
    pub(super) dataset: DatasetName,
    pub(super) snapshots: Vec<Snapshot>,
}

/// A node's volumes, and all that is received into them.
#[derive(Debug)]
pub(super) struct Generations {
    zfs: Arc<dyn Zfs>,
    layout: Layout,
    /// In order; there need not be any.
    all: Vec<Generation>,
    /// Why the registrar does not know a generation, by its number.
    unknown_notes: BTreeMap<u32, String>,
    /// What a cut receive of a whole volume left.
    partial: Option<ResumeToken>,
    /// When ZFS was last asked.
    read_at: Instant,
    /// Ends a receive in order when the agent stops.
    cancel: CancellationToken,
    turn: ZfsTurn,
    /// Whether one is under way.
    receiving: bool,
    /// Whether replaced volumes were to be dropped meanwhile.
    dropping_postponed: bool,
}

impl Generations {
    /// What is there.
    ///
    /// # Errors
    /// Where ZFS does not say.
    pub(super) async fn read(
        zfs: Arc<dyn Zfs>,
        layout: Layout,
        cancel: CancellationToken,
        turn: ZfsTurn,
    ) -> Result<Self, ReadError> {
        let (all, unknown_notes, read_at) = (Vec::new(), BTreeMap::new(), Instant::now());
        let mut generations = Self {
            zfs,
            layout,
            all,
            unknown_notes,
            partial: None,
            read_at,
            cancel,
            turn,
            receiving: false,
            dropping_postponed: false,
        };
        generations.refresh().await?;
        Ok(generations)
    }

    /// Asks ZFS anew.
    pub(super) async fn refresh(&mut self) -> Result<(), ReadError> {
        let mut all = Vec::new();
        for dataset in self.zfs.children(&self.layout.root).await? {
            if let Some(number) = Layout::generation_of(&dataset) {
                let snapshots = self.zfs.snapshots(&dataset).await?;
                all.push(Generation { number, dataset, snapshots });
            }
        }
        all.sort_by_key(|generation| generation.number);
        self.all = all;
        self.read_at = Instant::now();
        self.read_unknown_notes().await;
        self.partial = match self.partially_received() {
            Some(begun) => self.zfs.partial(&begun.dataset).await?,
            None => None,
        };
        Ok(())
    }

    /// A volume has come by a snapshot.
    fn note_received(&mut self, volume: &DatasetName, snapshot: &Snapshot) {
        let generation = self.all.iter_mut().find(|generation| generation.dataset == *volume);
        generation.into_iter().for_each(|generation| generation.snapshots.push(snapshot.clone()));
    }

    /// Whether ZFS was not asked for long.
    pub(super) fn are_stale(&self) -> bool {
        self.read_at.elapsed() >= STALE_AFTER
    }

    /// Whether a receive is under way, so that what ZFS says is half of something.
    pub(super) fn are_receiving(&self) -> bool {
        self.receiving
    }

    /// The node's volume: the newest that is whole.
    pub(super) fn current(&self) -> Option<&Generation> {
        self.all.iter().rfind(|generation| !generation.snapshots.is_empty())
    }

    /// The snapshots of the node's volume, oldest first.
    pub(super) fn snapshots(&self) -> &[Snapshot] {
        self.current().map_or(&[], |current| &current.snapshots)
    }

    /// The newest snapshot of the node's volume.
    pub(super) fn head(&self) -> Option<&Snapshot> {
        self.snapshots().last()
    }

    /// What a cut receive of a whole volume left to go on with.
    pub(super) fn partial(&self) -> Option<&ResumeToken> {
        self.partial.as_ref()
    }

    /// Those before the current one.
    fn replaced(&self) -> impl Iterator<Item = &Generation> {
        let current = self.current().map_or(0, |current| current.number);
        self.all.iter().filter(move |generation| generation.number < current)
    }

    /// One that a cut receive has begun.
    fn partially_received(&self) -> Option<&Generation> {
        self.all.last().filter(|newest| newest.snapshots.is_empty())
    }

    /// Where a full stream is received: what a cut one has begun, or else a place of its own.
    fn incoming(&self) -> Result<DatasetName, NameError> {
        let newest = self.all.last().map_or(0, |newest| newest.number);
        self.partially_received()
            .map_or_else(|| self.layout.generation(newest + 1), |begun| Ok(begun.dataset.clone()))
    }

    /// Whether a volume here has a snapshot of this name.
    pub(super) fn have(&self, snapshot: &SnapshotName) -> bool {
        self.with_snapshot(snapshot).next().is_some()
    }

    /// The volumes that have a snapshot, the current one first: of one of them its view is made.
    ///
    /// # Errors
    /// [`ViewError::Ambiguous`] where they have different ones of that name.
    pub(super) fn datasets_with(&self, snapshot: &SnapshotName) -> Result<Vec<DatasetName>, ViewError> {
        let mut guid = None;
        let mut datasets = Vec::new();
        for (generation, found) in self.with_snapshot(snapshot) {
            if *guid.get_or_insert(found.guid) != found.guid {
                let (snapshot, replaced) = (snapshot.clone(), generation.dataset.clone());
                return Err(ViewError::Ambiguous { snapshot, replaced });
            }
            datasets.push(generation.dataset.clone());
        }
        Ok(datasets)
    }

    fn with_snapshot<'a>(
        &'a self,
        name: &'a SnapshotName,
    ) -> impl Iterator<Item = (&'a Generation, &'a Snapshot)> {
        let found = |generation: &'a Generation| {
            generation.snapshots.iter().find(|it| it.name == *name).map(|it| (generation, it))
        };
        self.all.iter().rev().filter_map(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootstash_zfs::fake::FakeZfs;
    use bootstash_zfs::{NewDataset, Role};

    fn layout() -> Layout {
        crate::testing::Node::new().layout()
    }

    async fn make(zfs: &FakeZfs, name: &str, snapshots: u64) {
        let name: DatasetName = format!("tank/bootstash/{name}").parse().unwrap();
        let role = Role::Volume;
        zfs.create(&name, &NewDataset { role, mountpoint: None, properties: Vec::new() }).await.unwrap();
        for number in 0..snapshots {
            let snapshot = SnapshotName::new(number + 1, chrono::DateTime::UNIX_EPOCH);
            zfs.snapshot(&name, &snapshot).await.unwrap();
        }
    }

    async fn generations(volumes: &[(&str, u64)]) -> Generations {
        generations_in(layout(), volumes).await
    }

    async fn generations_in(layout: Layout, volumes: &[(&str, u64)]) -> Generations {
        let zfs = FakeZfs::new();
        let root = NewDataset { role: Role::Root, mountpoint: None, properties: Vec::new() };
        zfs.create(&"tank/bootstash".parse().unwrap(), &root).await.unwrap();
        for (name, snapshots) in volumes {
            make(&zfs, name, *snapshots).await;
        }
        Generations::read(Arc::new(zfs), layout, CancellationToken::new(), ZfsTurn::default()).await.unwrap()
    }

    #[tokio::test]
    async fn the_newest_whole_one_is_the_volume() {
        for (volumes, current, replaced, incoming) in [
            (&[][..], None, 0, "volume"),
            (&[("volume", 0)], None, 0, "volume"),
            (&[("volume", 2), ("views", 0)], Some(1), 0, "volume-2"),
            (&[("volume", 2), ("volume-2", 0)], Some(1), 0, "volume-2"),
            (&[("volume", 2), ("volume-2", 1)], Some(2), 1, "volume-3"),
            (
                &[("volume-9", 1), ("volume-10", 1), ("volume-x", 1), ("volume-1", 1)],
                Some(10),
                1,
                "volume-11",
            ),
        ] {
            let found = generations(volumes).await;
            assert_eq!(found.current().map(|current| current.number), current, "{volumes:?}");
            assert_eq!(found.replaced().count(), replaced, "{volumes:?}");
            assert_eq!(found.incoming().unwrap().leaf(), incoming, "{volumes:?}");
        }
    }

    #[tokio::test]
    async fn a_volume_with_a_note_stays_until_the_note_is_removed_even_an_unreadable_one() {
        let node = crate::testing::Node::new();
        let note = node.layout().unknown_note(1);
        std::fs::create_dir_all(&note).unwrap();
        let mut found = generations_in(node.layout(), &[("volume", 1), ("volume-2", 1)]).await;
        found.drop_replaced().await;
        let replaced = found.replaced_volumes();
        assert!(replaced[0].unknown.as_ref().unwrap().contains("cannot read why"), "{replaced:?}");
        std::fs::remove_dir(&note).unwrap();
        found.refresh().await.unwrap();
        found.drop_replaced().await;
        assert_eq!(found.replaced_volumes().len(), 0);
    }
}
