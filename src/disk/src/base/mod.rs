//! A base: where an image's bytes live, and whether they are still what was registered.

mod change;
mod content;

pub use change::{BaseChange, FileStamp};
pub use content::{BLOCK_BYTES, ContentDigest, ContentHasher, MOST_SAMPLES, Sample};

use super::firmware::Firmware;
use super::{ImageFormat, raw_file};
use bootstash_base::error::Classified;
use change::{Glance, glance};
use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const SAMPLE_BYTES: usize = 64 * 1024;
const SAMPLES: u64 = 16;

/// Where an image's bytes live, what boots them, and how to tell that they are still the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Absolute path, the same on the storage node and on every compute node.
    pub path: PathBuf,
    /// Its format.
    pub format: ImageFormat,
    /// Size of the disk a guest sees, in bytes.
    pub virtual_size_bytes: u64,
    /// What it was when it was registered.
    pub identity: BaseIdentity,
    /// What boots it; all that was registered before this was written down was booted by BIOS.
    #[serde(default)]
    pub firmware: Firmware,
}

/// A base's identity: what the file system says of it, and digests of what it holds.
///
/// Where size, time and inode are the same a node reads none of it; else a few blocks, so that a copy is taken, and
/// another file is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseIdentity {
    /// Size of the file, in bytes.
    pub size_bytes: u64,
    /// Its modification time, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// BLAKE3 of 16 blocks of 64 KiB, evenly spread from the first byte to the last. Earlier versions read it.
    pub sample_digest: String,
    /// Its inode; none in what earlier versions wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inode: Option<u64>,
    /// What it holds; none before all of it was read, and in what earlier versions wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<ContentDigest>,
}

/// A base could not be read, or is no regular file.
#[derive(Debug, thiserror::Error, Classified)]
pub enum BaseReadError {
    /// Nothing there.
    #[error("the image {} does not exist on this host; check the path, and that its storage is mounted", .path.display())]
    #[class(permanent)]
    Missing {
        /// The base, by its absolute path.
        path: PathBuf,
    },
    /// A directory, a device, ….
    #[error("{} is not a regular file; give the path of an image file", .path.display())]
    #[class(permanent)]
    NotAFile {
        /// The base, by its absolute path.
        path: PathBuf,
    },
    /// The file system fails, or denies access.
    #[error("cannot read {}", .path.display())]
    #[class(operator)]
    Io {
        /// The base, by its absolute path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl BaseIdentity {
    /// The identity of the file at `path` now, as far as it is known without reading it whole. Blocking; reads at most
    /// 1 MiB.
    ///
    /// # Errors
    /// When it is missing, no regular file, or cannot be read.
    pub fn of(path: &Path) -> Result<Self, BaseReadError> {
        let (file, metadata) = open(path)?;
        let stamp = FileStamp::of(&metadata);
        let sample_digest =
            sample_digest(&file, stamp.size_bytes).map_err(|source| unreadable(path, source))?;
        Ok(Self {
            size_bytes: stamp.size_bytes,
            mtime_ns: stamp.mtime_ns,
            sample_digest,
            inode: Some(stamp.inode),
            content: None,
        })
    }

    /// Leaves the samples out, which are most of a manifest and of no use in a list.
    pub fn without_samples(&mut self) {
        if let Some(content) = &mut self.content {
            content.samples = Vec::new();
        }
    }

    /// Whether the file at `path` is the very one, and nobody has written to it. Blocking; reads no data.
    ///
    /// # Errors
    /// When it is missing, no regular file, or cannot be looked at.
    pub fn is_untouched(&self, path: &Path) -> Result<bool, BaseReadError> {
        Ok(glance(self, FileStamp::at(path)?) == Glance::Same)
    }

    /// How the file at `path` differs from this, if it does, as a node looks: by a few blocks of it where it may be a
    /// copy. Blocking, with at most [`MOST_SAMPLES`] reads; asks `go_on` before each.
    ///
    /// # Errors
    /// When it is missing, no regular file, or cannot be read; what `go_on` said.
    pub fn change(
        &self,
        path: &Path,
        go_on: impl FnMut() -> io::Result<()>,
    ) -> Result<Option<BaseChange>, BaseReadError> {
        let seen = glance(self, FileStamp::at(path)?);
        self.judge(seen, path, go_on)
    }

    /// The same where its time says nothing, as somebody sets it who writes nothing: a file with another time is looked at as a
    /// copy is.
    ///
    /// # Errors
    /// As there.
    pub fn change_but_for_time(
        &self,
        path: &Path,
        go_on: impl FnMut() -> io::Result<()>,
    ) -> Result<Option<BaseChange>, BaseReadError> {
        let seen = match glance(self, FileStamp::at(path)?) {
            Glance::Changed(BaseChange::Written) => Glance::Copy,
            seen => seen,
        };
        self.judge(seen, path, go_on)
    }

    fn judge(
        &self,
        seen: Glance,
        path: &Path,
        go_on: impl FnMut() -> io::Result<()>,
    ) -> Result<Option<BaseChange>, BaseReadError> {
        match (seen, &self.content) {
            (Glance::Same, _) | (Glance::Copy, None) => Ok(None),
            (Glance::Changed(change), _) => Ok(Some(change)),
            (Glance::Copy, Some(content)) => {
                let differs = content.first_difference(&open(path)?.0, go_on);
                let differs = differs.map_err(|source| unreadable(path, source))?;
                Ok(differs.map(|offset| BaseChange::Content { offset: Some(offset) }))
            }
        }
    }

    /// The same, by all that the file holds. Blocking; asks `go_on` between reads.
    ///
    /// # Errors
    /// When it is missing, no regular file, or cannot be read; what `go_on` said.
    pub fn change_of_all(
        &self,
        path: &Path,
        go_on: impl FnMut() -> io::Result<()>,
    ) -> Result<Option<BaseChange>, BaseReadError> {
        let (file, metadata) = open(path)?;
        let Some(content) = &self.content else { return self.change(path, go_on) };
        if let Glance::Changed(change) = glance(self, FileStamp::of(&metadata)) {
            return Ok(Some(change));
        }
        let now = ContentDigest::of(&file, go_on).map_err(|source| unreadable(path, source))?;
        Ok((now.blake3 != content.blake3).then_some(BaseChange::Content { offset: None }))
    }
}

fn regular_file(path: &Path) -> Result<Metadata, BaseReadError> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(metadata),
        Ok(_) => Err(BaseReadError::NotAFile { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(BaseReadError::Missing { path: path.to_owned() })
        }
        Err(source) => Err(unreadable(path, source)),
    }
}

/// The file, once it is known to be one: opening a pipe would wait for whoever writes to it.
fn open(path: &Path) -> Result<(File, Metadata), BaseReadError> {
    regular_file(path)?;
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let opened = File::options().read(true).custom_flags(flags.bits()).open(path);
    let opened = opened.and_then(|file| file.metadata().map(|metadata| (file, metadata)));
    match opened.map_err(|source| unreadable(path, source))? {
        (file, metadata) if metadata.is_file() => Ok((file, metadata)),
        _ => Err(BaseReadError::NotAFile { path: path.to_owned() }),
    }
}

fn unreadable(path: &Path, source: io::Error) -> BaseReadError {
    BaseReadError::Io { path: path.to_owned(), source }
}

fn sample_digest(file: &File, size: u64) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut block = vec![0; SAMPLE_BYTES];
    let last = size.saturating_sub(SAMPLE_BYTES as u64);
    for sample in 0..SAMPLES {
        let (at, held) = (spread(last, sample), size.min(SAMPLE_BYTES as u64) as usize);
        raw_file::read_padded(file, &mut block[..held], at)?;
        hasher.update(&block[..held]);
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// Where sample number `sample` begins; the last one begins exactly at `last`.
fn spread(last: u64, sample: u64) -> u64 {
    let gaps = SAMPLES - 1;
    last / gaps * sample + last % gaps * sample / gaps
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;
    use std::time::{Duration, SystemTime};

    fn set_time(path: &Path, time: SystemTime) {
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    fn registered(path: &Path) -> BaseIdentity {
        let content = ContentDigest::of(&File::open(path).unwrap(), || Ok(())).unwrap();
        BaseIdentity { content: Some(content), ..BaseIdentity::of(path).unwrap() }
    }

    fn change(identity: &BaseIdentity, path: &Path) -> Option<BaseChange> {
        identity.change(path, || Ok(())).unwrap()
    }

    #[test]
    fn sees_a_change_of_time_or_size_and_names_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.raw");
        std::fs::write(&path, vec![7; 200_000]).unwrap();
        let identity = BaseIdentity::of(&path).unwrap();
        assert!(identity.is_untouched(&path).unwrap());
        set_time(&path, SystemTime::UNIX_EPOCH);
        assert!(!identity.is_untouched(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(identity.is_untouched(&path), Err(BaseReadError::Missing { .. })));
        assert!(matches!(BaseIdentity::of(dir.path()), Err(BaseReadError::NotAFile { .. })));
    }

    #[test]
    fn a_file_that_was_touched_is_the_same_where_its_time_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.raw");
        std::fs::write(&path, vec![7; 200_000]).unwrap();
        let identity = registered(&path);
        set_time(&path, SystemTime::now() + Duration::from_secs(5));
        let but_for_time = || identity.change_but_for_time(&path, || Ok(())).unwrap();
        assert_eq!((change(&identity, &path), but_for_time()), (Some(BaseChange::Written), None));
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(&[8; 200_000], 0).unwrap();
        assert!(matches!(but_for_time(), Some(BaseChange::Content { .. })));
        file.set_len(100_000).unwrap();
        assert!(matches!(but_for_time(), Some(BaseChange::Size { .. })));
    }

    #[test]
    fn digest_covers_both_ends() {
        let dir = tempfile::tempdir().unwrap();
        let digest = |bytes: &[u8]| {
            let path = dir.path().join("b.raw");
            std::fs::write(&path, bytes).unwrap();
            BaseIdentity::of(&path).unwrap().sample_digest
        };
        let plain = digest(&vec![0; 3_000_000]);
        let mut first = vec![0; 3_000_000];
        first[0] = 1;
        let mut last = vec![0; 3_000_000];
        last[2_999_999] = 1;
        assert_ne!(plain, digest(&first));
        assert_ne!(plain, digest(&last));
    }

    #[test]
    fn another_file_of_the_same_size_and_time_is_told_by_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("a.raw"), dir.path().join("b.raw"));
        std::fs::write(&path, vec![7; 500_000]).unwrap();
        let identity = registered(&path);
        let time = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::fs::write(&other, vec![8; 500_000]).unwrap();
        set_time(&other, time);
        std::fs::rename(&other, &path).unwrap();
        let found = change(&identity, &path);
        assert_eq!(found, Some(BaseChange::Content { offset: Some(0) }));
        assert!(!identity.is_untouched(&path).unwrap());
        assert_eq!(
            identity.change_of_all(&path, || Ok(())).unwrap(),
            Some(BaseChange::Content { offset: None })
        );
    }

    #[test]
    fn a_copy_is_taken_whatever_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let (path, copy) = (dir.path().join("a.raw"), dir.path().join("b.raw"));
        std::fs::write(&path, vec![7; 500_000]).unwrap();
        let exact = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
        set_time(&path, exact);
        let identity = registered(&path);
        for time in [exact, exact + Duration::from_secs(9)] {
            std::fs::copy(&path, &copy).unwrap();
            set_time(&copy, time);
            assert_eq!(change(&identity, &copy), None, "{time:?}");
            assert_eq!(identity.change_of_all(&copy, || Ok(())).unwrap(), None);
        }
        // A copy over the file itself, by what keeps whole seconds only.
        set_time(&path, SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        assert_eq!(change(&identity, &path), None);
        set_time(&path, exact + Duration::from_secs(1));
        assert_eq!(change(&identity, &path), Some(BaseChange::Written));
    }

    #[test]
    fn all_of_it_is_compared_where_that_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.raw");
        std::fs::write(&path, vec![7; 500_000]).unwrap();
        let (identity, time) = (registered(&path), std::fs::metadata(&path).unwrap().modified().unwrap());
        File::options().write(true).open(&path).unwrap().write_all_at(b"x", 300_000).unwrap();
        set_time(&path, time);
        assert_eq!(change(&identity, &path), None, "size, time and inode are the same");
        let found = identity.change_of_all(&path, || Ok(())).unwrap();
        assert_eq!(found, Some(BaseChange::Content { offset: None }));
    }

    #[test]
    fn what_earlier_versions_wrote_is_read() {
        let old = r#"{"size_bytes":5,"mtime_ns":6,"sample_digest":"ab"}"#;
        let identity: BaseIdentity = serde_json::from_str(old).unwrap();
        assert_eq!((identity.inode, &identity.content), (None, &None));
        assert_eq!(serde_json::to_string(&identity).unwrap(), old);
    }
}
