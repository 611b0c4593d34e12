//! Whether the base of an image is what was registered.
//!
//! Promises: storage that hangs holds nobody up. A copy that was taken once for what was registered is known again by
//! inode, size and time; what is then written to it counts as a change, wherever in it.

use super::{CreateOverlayError, Overlays};
use crate::volume::storage::Storage;
use bootstash_base::mount_table::MountTable;
use bootstash_delta::catalog::Manifest;
use bootstash_disk::{BaseChange, BaseReadError, FileStamp, Source};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long the storage of a base may take to say what it has.
const DEADLINE: Duration = Duration::from_secs(20);
/// No node has more bases that are copies; were it so, some are looked at anew.
const MOST_COPIES: usize = 10_000;

/// Looks at bases, for whoever needs to know. Cheap to clone; clones share what they remember.
#[derive(Clone, Debug)]
pub(in crate::volume) struct Bases {
    storage: Storage,
    copies: Arc<Mutex<BTreeMap<Copied, FileStamp>>>,
    touched_dirs: Arc<[PathBuf]>,
}

/// A base by its path, as it was registered: its size, time and inode.
type Copied = (PathBuf, u64, i64, Option<u64>);

impl Bases {
    pub(in crate::volume) fn new(storage: Storage) -> Self {
        Self { storage, copies: Arc::default(), touched_dirs: Arc::default() }
    }

    /// With directories in which a file that has another time need not have been written to.
    pub(in crate::volume) fn touched_in(self, directories: Vec<PathBuf>) -> Self {
        Self { touched_dirs: directories.into(), ..self }
    }

    fn times(&self, source: &Source) -> Times {
        let touched = self.touched_dirs.iter().any(|directory| source.path.starts_with(directory));
        if touched { Times::SayNothing } else { Times::Count }
    }

    /// How a base differs from what was registered, if it does; nothing where its storage does not answer until then.
    pub(super) async fn change(
        &self,
        source: &Source,
        until: Instant,
    ) -> Option<Result<Option<BaseChange>, BaseReadError>> {
        let (key, times) = (key(source), self.times(source));
        let known = self.copies.lock().get(&key).copied();
        let (at, source) = (MountTable::read().mount_point_of(&source.path), source.clone());
        let stop = std::time::Instant::now() + until.saturating_duration_since(Instant::now());
        let looked = self.storage.ask(&at, until, move || look(&source, known, times, stop)).await?;
        Some(looked.map(|seen| match seen {
            Seen::Registered(stamp) => {
                self.remember(key, stamp);
                None
            }
            Seen::Changed(change) => Some(change),
        }))
    }

    fn remember(&self, key: Copied, stamp: FileStamp) {
        let mut copies = self.copies.lock();
        if copies.len() >= MOST_COPIES {
            copies.clear();
        }
        copies.insert(key, stamp);
    }
}

fn key(source: &Source) -> Copied {
    let identity = &source.identity;
    (source.path.clone(), identity.size_bytes, identity.mtime_ns, identity.inode)
}

/// Whether the time of a base's file is that of the last write to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Times {
    Count,
    SayNothing,
}

/// What a look at a base showed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    /// What was registered, or a copy of it.
    Registered(FileStamp),
    /// Something else.
    Changed(BaseChange),
}

/// `known` is what was there when it was last taken for what was registered. Blocks.
fn look(
    source: &Source,
    known: Option<FileStamp>,
    times: Times,
    stop: std::time::Instant,
) -> Result<Seen, BaseReadError> {
    let stamp = FileStamp::at(&source.path)?;
    match known {
        Some(known) if known == stamp => return Ok(Seen::Registered(stamp)),
        // Its samples could be what nobody has written to.
        Some(known)
            if times == Times::Count && known.is_same_file(stamp) && known.size_bytes == stamp.size_bytes =>
        {
            return Ok(Seen::Changed(BaseChange::Written));
        }
        _ => (),
    }
    let in_time = || {
        let late = std::time::Instant::now() >= stop;
        let too_slow = || io::Error::new(io::ErrorKind::TimedOut, "its storage is too slow");
        if late { Err(too_slow()) } else { Ok(()) }
    };
    let change = match times {
        Times::Count => source.identity.change(&source.path, in_time),
        Times::SayNothing => source.identity.change_but_for_time(&source.path, in_time),
    };
    match change {
        Ok(change) => Ok(change.map_or(Seen::Registered(stamp), Seen::Changed)),
        // Neither can a VM read wrong bytes of what nobody reads; root may not, on NFS.
        Err(BaseReadError::Io { source: error, .. })
            if error.kind() != io::ErrorKind::TimedOut && stamp.mtime_ns == source.identity.mtime_ns =>
        {
            tracing::debug!("{} is taken by size and time: {error}", source.path.display());
            Ok(Seen::Registered(stamp))
        }
        Err(error) => Err(error),
    }
}

impl Overlays {
    /// Refuses a base that is not what was registered, and one whose storage does not answer in time.
    ///
    /// # Errors
    /// See [`CreateOverlayError`].
    pub(in crate::volume) async fn check_base(&self, manifest: &Manifest) -> Result<(), CreateOverlayError> {
        let (image, path) = (manifest.name.clone(), manifest.source.path.clone());
        let looked = self.bases.change(&manifest.source, Instant::now() + DEADLINE).await;
        let looked = looked.unwrap_or_else(|| {
            let source = io::Error::other("its storage does not answer");
            Err(BaseReadError::Io { path: path.clone(), source })
        });
        match looked {
            Ok(None) => Ok(()),
            Ok(Some(change)) => Err(CreateOverlayError::BaseChanged { image, path, change }),
            Err(source) => Err(CreateOverlayError::Base { image, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootstash_disk::firmware::Firmware;
    use bootstash_disk::{BaseIdentity, ContentDigest, ImageFormat};
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::path::Path;
    use std::time::SystemTime;

    fn registered(path: &Path) -> Source {
        let content = ContentDigest::of(&File::open(path).unwrap(), || Ok(())).unwrap();
        let identity = BaseIdentity { content: Some(content), ..BaseIdentity::of(path).unwrap() };
        let (format, firmware) = (ImageFormat::Raw, Firmware::Bios);
        Source { path: path.to_owned(), format, virtual_size_bytes: 1 << 20, identity, firmware }
    }

    async fn change(bases: &Bases, source: &Source) -> Option<BaseChange> {
        bases.change(source, Instant::now() + DEADLINE).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn what_is_written_to_a_copy_is_seen_wherever_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.raw");
        std::fs::write(&path, (0..1_u32 << 20).map(|at| (at >> 16) as u8 + 1).collect::<Vec<_>>()).unwrap();
        let (source, bases) = (registered(&path), Bases::new(Storage::new()));
        std::fs::copy(&path, dir.path().join("copy")).unwrap();
        std::fs::rename(dir.path().join("copy"), &path).unwrap();
        assert_eq!(change(&bases, &source).await, None);
        let file = File::options().write(true).open(&path).unwrap();
        // What is there already, so that no sample can tell.
        file.write_all_at(&[3], 2 << 16).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(5)).unwrap();
        assert_eq!(change(&bases, &source).await, Some(BaseChange::Written));
        assert_eq!(
            change(&Bases::new(Storage::new()), &source).await,
            None,
            "a fresh look knows samples only"
        );
    }

    #[tokio::test]
    async fn a_touch_is_no_change_where_times_say_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.raw");
        std::fs::write(&path, vec![7; 300_000]).unwrap();
        let source = registered(&path);
        let bases = Bases::new(Storage::new()).touched_in(vec![dir.path().to_owned()]);
        let file = File::options().write(true).open(&path).unwrap();
        for seconds in 1..3 {
            file.set_modified(SystemTime::now() + Duration::from_secs(seconds)).unwrap();
            assert_eq!(change(&bases, &source).await, None);
        }
        assert_eq!(change(&Bases::new(Storage::new()), &source).await, Some(BaseChange::Written));
        file.write_all_at(&[8; 300_000], 0).unwrap();
        assert!(matches!(change(&bases, &source).await, Some(BaseChange::Content { .. })));
    }

    #[tokio::test]
    async fn another_file_of_the_same_size_and_time_is_refused_until_the_first_is_back() {
        let dir = tempfile::tempdir().unwrap();
        let (path, kept) = (dir.path().join("a.raw"), dir.path().join("kept"));
        std::fs::write(&path, vec![7; 300_000]).unwrap();
        let (source, bases) = (registered(&path), Bases::new(Storage::new()));
        let time = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::fs::rename(&path, &kept).unwrap();
        std::fs::write(&path, vec![8; 300_000]).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        assert_eq!(change(&bases, &source).await, Some(BaseChange::Content { offset: Some(0) }));
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&kept, &path).unwrap();
        assert_eq!(change(&bases, &source).await, None);
    }
}
