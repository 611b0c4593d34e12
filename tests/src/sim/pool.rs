//! A host's pool: its fake ZFS, with foreign file systems in it, which nobody may touch.

use super::host::Host;
use bootstash_base::names::{DatasetName, Guid, SnapshotName};
use bootstash_zfs::Zfs;
use bootstash_zfs::fake::{Checkpoint, FakeZfs};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What a daemon keeps everything below, on every host.
pub(super) const ROOT: &str = "tank/bootstash";
/// So much fits no cache.
const FULL_BYTES: u64 = 100;
const EMPTY_BYTES: u64 = 1 << 40;

/// Some are named like ours, or almost.
const FOREIGN: [&str; 8] = [
    "tank/other",
    "tank/volume",
    "tank/bootstash-old",
    "tank/bootstash-old/volume",
    "tank/bootstash/keep",
    "tank/bootstash/volume-x",
    "tank/bootstash/views/keep",
    "tank/bootstash/views/bs-000002-20200101T000000Z",
];

type Foreign = BTreeMap<DatasetName, (Option<Guid>, Vec<Guid>)>;

/// A pool.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) fake: Arc<FakeZfs>,
    /// How many calls in a thousand fail.
    pub(super) failing: Arc<AtomicU32>,
    foreign: Mutex<Foreign>,
}

/// A name that is one.
pub(super) fn dataset(name: &str) -> DatasetName {
    match name.parse() {
        Ok(name) => name,
        Err(_) => unreachable!("{name} is no name of a file system"),
    }
}

impl Pool {
    pub(super) async fn new(seed: u64) -> Self {
        let fake = Arc::new(FakeZfs::seeded(seed));
        let pool = Self { fake, failing: Arc::default(), foreign: Mutex::default() };
        pool.plant().await;
        pool
    }

    /// Everything is lost but for foreign file systems.
    pub(super) async fn lose(&self) -> std::io::Result<()> {
        self.fake.restore(&Checkpoint::default())?;
        self.plant().await;
        Ok(())
    }

    pub(super) async fn restore(&self, to: &Checkpoint) -> std::io::Result<()> {
        self.fake.restore(to)?;
        *self.foreign.lock().unwrap_or_else(PoisonError::into_inner) = self.foreign_now().await;
        Ok(())
    }

    pub(super) fn fill(&self, full: bool) {
        self.fake.set_capacity("tank", if full { FULL_BYTES } else { EMPTY_BYTES });
    }

    pub(super) fn fail(&self, in_a_thousand: u32) {
        self.failing.store(in_a_thousand, Ordering::Relaxed);
    }

    async fn plant(&self) {
        for name in FOREIGN.map(dataset) {
            self.fake.insert_foreign(&name);
            let snapshot = SnapshotName::new(1, chrono::DateTime::UNIX_EPOCH);
            let _ = self.fake.snapshot(&name, &snapshot).await;
        }
        *self.foreign.lock().unwrap_or_else(PoisonError::into_inner) = self.foreign_now().await;
    }

    async fn foreign_now(&self) -> Foreign {
        let mut all = Foreign::new();
        for name in FOREIGN.map(dataset) {
            let found = self.fake.dataset(&name).await.ok().flatten().map(|found| found.guid);
            let snapshots = self.fake.snapshots(&name).await.unwrap_or_default();
            all.insert(name, (found, snapshots.iter().map(|it| it.guid).collect()));
        }
        all
    }

    /// Whether foreign file systems are as they were.
    pub(super) async fn check(&self, host: &Host) {
        let now = self.foreign_now().await;
        let before = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, found) in before.iter().filter(|(name, found)| now.get(name) != Some(found)) {
            host.model.violated(format_args!("{name} of {} is not as it was: {found:?}", host.name));
        }
    }
}

/// The files below a folder, but for one folder in it.
pub(super) fn read_files(dir: &Path, but: &str) -> std::io::Result<BTreeMap<std::path::PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true if path.file_name().is_some_and(|name| name == but) => (),
                true => folders.push(path),
                false => drop(files.insert(path.clone(), std::fs::read(path)?)),
            }
        }
    }
    Ok(files)
}
