//! Bases that change after overlays were made of them: replaced, written to, truncated, gone.
//!
//! Promises: a change is noticed within a minute and told once, with the overlays that read from it and the remedy;
//! storage that hangs is "unknown" and keeps nobody from seeing the others. No data is read unless a file is another one.

use super::Lease;
use super::base::Bases;
use crate::volume::VolumeHandle;
use crate::volume::storage::Storage;
use bootstash_base::mount_table::MountTable;
use bootstash_base::names::{ImageName, SnapshotName};
use bootstash_delta::catalog;
use bootstash_disk::{BaseReadError, Source};
use bootstash_net::api::{BaseState, BaseStatus, ChangedBase};
use futures::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How long all storage together may take for one look.
const LOOK_DEADLINE: Duration = Duration::from_secs(20);
/// An overlay's manifest lies beside its boot cache: `ROOT/images/NAME/cache.qcow2`.
const ROOT_ABOVE_CACHE: usize = 3;
/// A line names no more overlays than these.
const NAMED_OVERLAYS: usize = 10;

/// What overlays chain onto: an image as it was in a snapshot.
pub(super) type Chained = (SnapshotName, ImageName);

/// What the bases of this node's overlays are, as far as they were looked at.
pub type BaseStates = BTreeMap<(SnapshotName, ImageName), BaseStatus>;

/// Looks at the bases of all overlays, again and again.
#[derive(Clone, Debug)]
pub(in crate::volume) struct BaseWatch {
    bases: Bases,
    storage: Storage,
    states: Arc<watch::Sender<Arc<BaseStates>>>,
}

/// What the watch remembers from look to look.
#[derive(Debug, Default)]
struct Known {
    /// From manifests, which do not change in a view.
    sources: BTreeMap<Chained, Source>,
    /// Changes that a line was written of.
    told: BTreeMap<Chained, String>,
}

impl BaseWatch {
    pub(in crate::volume) fn new(storage: Storage, bases: Bases) -> Self {
        Self { bases, storage, states: Arc::new(watch::Sender::default()) }
    }

    fn states(&self) -> Arc<BaseStates> {
        Arc::clone(&self.states.borrow())
    }

    /// One look at the bases of these overlays; what is known of others goes.
    async fn look(&self, leases: &[Arc<Lease>], known: &mut Known) {
        let until = Instant::now() + LOOK_DEADLINE;
        let wanted = roots(leases);
        known.sources.retain(|chained, _| wanted.contains_key(chained));
        known.told.retain(|chained, _| wanted.contains_key(chained));
        let missing = wanted.iter().filter(|(chained, _)| !known.sources.contains_key(*chained));
        let read = missing.map(|(chained, root)| self.source(chained.clone(), root.clone(), until));
        known.sources.extend(join_all(read).await.into_iter().flatten());
        let looks = by_mount(&known.sources).into_iter().map(|group| self.statuses(group, until));
        let now: BaseStates = join_all(looks).await.into_iter().flatten().collect();
        for line in news(&mut known.told, &now, leases) {
            line.log();
        }
        self.states.send_replace(Arc::new(now));
    }

    /// The base of an image, from the manifest in its view.
    async fn source(&self, chained: Chained, root: PathBuf, until: Instant) -> Option<(Chained, Source)> {
        let (at, image) = (root.clone(), chained.1.clone());
        let read = self.storage.ask(&at, until, move || catalog::read_manifest(&root, &image)).await?;
        read.ok().map(|manifest| (chained, manifest.source))
    }

    /// One after the other, so that storage that hangs holds one thread.
    async fn statuses(&self, group: Vec<(Chained, Source)>, until: Instant) -> BaseStates {
        let mut statuses = BaseStates::new();
        for (chained, source) in group {
            let state = match self.bases.change(&source, until).await {
                Some(Ok(None)) => BaseState::AsRegistered,
                Some(Ok(Some(change))) => BaseState::Changed { change: change.to_string() },
                Some(Err(BaseReadError::Missing { .. })) => {
                    BaseState::Changed { change: "it is gone".to_owned() }
                }
                Some(Err(BaseReadError::NotAFile { .. })) => {
                    BaseState::Changed { change: "it is no regular file any more".to_owned() }
                }
                Some(Err(BaseReadError::Io { .. })) | None => BaseState::Unknown,
            };
            statuses.insert(chained, BaseStatus { path: source.path, state });
        }
        statuses
    }
}

impl VolumeHandle {
    /// Watches the bases of overlays, for ever: all of them every half minute, and at once when others come or go.
    pub async fn watch_bases(self) {
        let (mut published, mut known) = (self.published(), Known::default());
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = BTreeSet::new();
        loop {
            tokio::select! {
                _ = ticks.tick() => (),
                changed = published.changed() => match changed {
                    Ok(()) if all_chained(&published.borrow_and_update().leases) == seen => continue,
                    Ok(()) => (),
                    Err(_) => return,
                },
            }
            let leases = published.borrow_and_update().leases.clone();
            seen = all_chained(&leases);
            self.base_watch.look(&leases, &mut known).await;
        }
    }

    /// What the bases of overlays were when they were last looked at.
    pub fn bases(&self) -> Arc<BaseStates> {
        self.base_watch.states()
    }

    /// The bases that changed under overlays, in order of path.
    pub fn changed_bases(&self) -> Vec<ChangedBase> {
        changed(&self.bases(), &self.state().leases)
    }
}

/// What is chained onto, and where its view is mounted.
fn roots(leases: &[Arc<Lease>]) -> BTreeMap<Chained, PathBuf> {
    let root = |lease: &Lease| lease.overlay.cache.ancestors().nth(ROOT_ABOVE_CACHE).map(Path::to_owned);
    leases.iter().filter_map(|lease| root(lease).map(|root| (chained(lease), root))).collect()
}

fn all_chained(leases: &[Arc<Lease>]) -> BTreeSet<Chained> {
    let mut all = BTreeSet::new();
    let mut last = None;
    for lease in leases {
        let this = (&lease.overlay.snapshot, &lease.overlay.image);
        // Most are of few images: names are not copied for each.
        if last.replace(this) != Some(this) {
            all.insert(chained(lease));
        }
    }
    all
}

fn chained(lease: &Lease) -> Chained {
    (lease.overlay.snapshot.clone(), lease.overlay.image.clone())
}

fn by_mount(sources: &BTreeMap<Chained, Source>) -> Vec<Vec<(Chained, Source)>> {
    let mounts = MountTable::read();
    let mut groups: BTreeMap<PathBuf, Vec<_>> = BTreeMap::new();
    for (chained, source) in sources {
        let at = mounts.mount_point_of(&source.path);
        groups.entry(at).or_default().push((chained.clone(), source.clone()));
    }
    groups.into_values().collect()
}

fn changed(states: &BaseStates, leases: &[Arc<Lease>]) -> Vec<ChangedBase> {
    let of = |(chained, status): (&Chained, &BaseStatus)| match &status.state {
        BaseState::Changed { change } => Some(ChangedBase {
            path: status.path.clone(),
            image: chained.1.clone(),
            snapshot: chained.0.clone(),
            change: change.clone(),
            overlays: overlays_on(chained, leases),
        }),
        BaseState::AsRegistered | BaseState::Unknown => None,
    };
    let mut changed: Vec<_> = states.iter().filter_map(of).collect();
    changed.sort_by(|a, b| (&a.path, &a.snapshot).cmp(&(&b.path, &b.snapshot)));
    changed
}

fn overlays_on(on: &Chained, leases: &[Arc<Lease>]) -> Vec<PathBuf> {
    leases.iter().filter(|lease| chained(lease) == *on).map(|lease| lease.overlay.path.clone()).collect()
}

/// What is worth a line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum News {
    Changed(ChangedBase),
    Restored { path: PathBuf, image: ImageName },
}

/// What is to be told, and is then known. What is unknown is no news.
fn news(told: &mut BTreeMap<Chained, String>, now: &BaseStates, leases: &[Arc<Lease>]) -> Vec<News> {
    let mut news = Vec::new();
    for base in changed(now, leases) {
        let chained = (base.snapshot.clone(), base.image.clone());
        if told.insert(chained, base.change.clone()).as_ref() != Some(&base.change) {
            news.push(News::Changed(base));
        }
    }
    for (chained, status) in now.iter().filter(|(_, status)| status.state == BaseState::AsRegistered) {
        if told.remove(chained).is_some() {
            news.push(News::Restored { path: status.path.clone(), image: chained.1.clone() });
        }
    }
    news
}

impl News {
    fn log(&self) {
        match self {
            Self::Changed(base) => tracing::error!(
                "{}, the base of image {}, changed after overlays were made of it ({}): they read a mix of both now: {}; \
                 stop their VMs, put the file back as it was, or remove these overlays, and register the image again",
                base.path.display(),
                base.image,
                base.change,
                named(&base.overlays)
            ),
            Self::Restored { path, image } => {
                tracing::info!("{}, the base of image {image}, is what was registered again", path.display());
            }
        }
    }
}

fn named(overlays: &[PathBuf]) -> String {
    let names = overlays.iter().take(NAMED_OVERLAYS).map(|path| path.display().to_string());
    let more = overlays.len().saturating_sub(NAMED_OVERLAYS);
    names.chain((more > 0).then(|| format!("{more} more"))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::lease;

    const CHANGE: &str = "it is gone";

    fn states(state: BaseState) -> BaseStates {
        let chained = chained(&lease("/vms/a", 1, "alpine"));
        BaseStates::from([(chained, BaseStatus { path: "/srv/alpine.raw".into(), state })])
    }

    fn changed_state() -> BaseState {
        BaseState::Changed { change: CHANGE.to_owned() }
    }

    #[test]
    fn a_change_is_told_once_with_the_overlays_on_it() {
        let leases = [("/vms/a", 1), ("/vms/b", 1), ("/vms/c", 2)]
            .map(|(path, snapshot)| Arc::new(lease(path, snapshot, "alpine")));
        let (fine, bad) = (states(BaseState::AsRegistered), states(changed_state()));
        let mut told = BTreeMap::new();
        let lines = news(&mut told, &bad, &leases);
        let [News::Changed(base)] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!(base.overlays, [PathBuf::from("/vms/a"), PathBuf::from("/vms/b")]);
        for silent in [&bad, &states(BaseState::Unknown), &bad] {
            assert_eq!(news(&mut told, silent, &leases), []);
        }
        let restored = News::Restored { path: "/srv/alpine.raw".into(), image: "alpine".parse().unwrap() };
        assert_eq!(news(&mut told, &fine, &leases), [restored]);
        assert_eq!(news(&mut told, &fine, &leases), []);
        assert_eq!(news(&mut told, &bad, &leases), lines, "a second change is another one");
    }

    #[test]
    fn a_line_stays_short() {
        let many: Vec<PathBuf> = (0..25).map(|number| format!("/vms/{number}").into()).collect();
        assert!(named(&many).ends_with("/vms/9, 15 more"), "{}", named(&many));
        assert_eq!(named(&many[..2]), "/vms/0, /vms/1");
    }

    #[test]
    fn views_are_found_by_what_overlays_chain_onto() {
        let lease = Arc::new(lease("/vms/a", 1, "alpine"));
        let root = lease.overlay.cache.parent().unwrap().parent().unwrap().parent().unwrap().to_owned();
        assert_eq!(roots(std::slice::from_ref(&lease)), BTreeMap::from([(chained(&lease), root)]));
    }
}
