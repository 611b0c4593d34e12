//! Whether a base is what was registered: what can be told from its file's metadata, and what only its content tells.
//! Pure, but for asking the file system.

use super::{BaseIdentity, BaseReadError, regular_file};
use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Units in which file systems and protocols keep times, in nanoseconds: what copies a file may round its time down.
const TIME_UNITS_NS: [i64; 4] = [100, 1_000, 1_000_000, 1_000_000_000];

/// How a base differs from what was registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaseChange {
    /// In size.
    Size {
        /// When it was registered, in bytes.
        then: u64,
        /// Now.
        now: u64,
    },
    /// It is the same file, written to since.
    Written,
    /// In content.
    Content {
        /// Where, if that is known: a byte from here on.
        offset: Option<u64>,
    },
    /// It was written or replaced, and was registered by a version that kept no digest to compare it with.
    NoDigest,
}

/// What metadata tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Glance {
    /// It is the very file, untouched.
    Same,
    /// It is not what was registered.
    Changed(BaseChange),
    /// It may be a copy: its content decides.
    Copy,
}

/// What the file system says of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    /// The device of its file system, by which hosts and mounts differ.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// Its size, in bytes.
    pub size_bytes: u64,
    /// When it was last written, in nanoseconds since 1970.
    pub mtime_ns: i64,
}

impl FileStamp {
    /// What `metadata` says.
    pub fn of(metadata: &Metadata) -> Self {
        let mtime_ns = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
        Self { device: metadata.dev(), inode: metadata.ino(), size_bytes: metadata.len(), mtime_ns }
    }

    /// Of the regular file at `path`. Blocking; reads no data.
    ///
    /// # Errors
    /// When it is missing, no regular file, or cannot be looked at.
    pub fn at(path: &Path) -> Result<Self, BaseReadError> {
        regular_file(path).map(|metadata| Self::of(&metadata))
    }

    /// Whether both are of one file, whatever was written to it.
    pub fn is_same_file(self, other: Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// Compares a file with what was registered, without its content. Change time and owner do not count: libvirt changes
/// both when a VM starts.
pub(super) fn glance(then: &BaseIdentity, now: FileStamp) -> Glance {
    let same_time = now.mtime_ns == then.mtime_ns;
    let same_inode = then.inode.is_none_or(|inode| inode == now.inode);
    match then.content {
        _ if now.size_bytes != then.size_bytes => {
            Glance::Changed(BaseChange::Size { then: then.size_bytes, now: now.size_bytes })
        }
        _ if same_time && same_inode => Glance::Same,
        None if same_time => Glance::Same,
        None => Glance::Changed(BaseChange::NoDigest),
        Some(_) if same_inode && !is_rounded(now.mtime_ns, then.mtime_ns) => {
            Glance::Changed(BaseChange::Written)
        }
        Some(_) => Glance::Copy,
    }
}

/// Whether a time is another one, in a larger unit.
fn is_rounded(time: i64, exact: i64) -> bool {
    TIME_UNITS_NS.iter().any(|unit| time == exact - exact.rem_euclid(*unit))
}

impl fmt::Display for BaseChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { then, now } => write!(f, "it was {then} bytes long and is {now}"),
            Self::Written => f.write_str(
                "its modification time is another and its inode is not: it was written to, or is a copy that was made without \
                 its time, which `cp -p` keeps",
            ),
            Self::Content { offset: Some(offset) } => {
                write!(f, "its content is another, in the 64 KiB from byte {offset} on")
            }
            Self::Content { offset: None } => f.write_str("its content is another"),
            Self::NoDigest => f.write_str(
                "its modification time is another, and it was registered by a version that kept no digest of its content",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ContentDigest;
    use super::*;

    const TIME: i64 = 1_700_000_000_123_456_789;

    fn then(inode: Option<u64>, has_digest: bool) -> BaseIdentity {
        let content = has_digest.then(|| ContentDigest { blake3: "00".to_owned(), samples: Vec::new() });
        BaseIdentity { size_bytes: 10, mtime_ns: TIME, sample_digest: "00".to_owned(), inode, content }
    }

    fn now(inode: u64, mtime_ns: i64) -> FileStamp {
        FileStamp { device: 1, inode, size_bytes: 10, mtime_ns }
    }

    #[test]
    fn content_decides_where_the_file_may_be_a_copy() {
        use BaseChange::{NoDigest, Written};
        let rounded = TIME - TIME % 1_000_000_000;
        let cases = [
            (Some(7), true, now(7, TIME), Glance::Same),
            (Some(7), true, now(8, TIME), Glance::Copy),
            (Some(7), true, now(8, TIME + 5), Glance::Copy),
            (Some(7), true, now(7, rounded), Glance::Copy),
            (Some(7), true, now(7, TIME - TIME % 1000), Glance::Copy),
            (Some(7), true, now(7, TIME + 5), Glance::Changed(Written)),
            (Some(7), true, now(7, rounded + 1), Glance::Changed(Written)),
            // As versions before registered it.
            (None, false, now(8, TIME), Glance::Same),
            (None, false, now(8, rounded), Glance::Changed(NoDigest)),
        ];
        for (inode, has_digest, now, wanted) in cases {
            assert_eq!(glance(&then(inode, has_digest), now), wanted, "{inode:?} {has_digest} {now:?}");
        }
        let longer = FileStamp { size_bytes: 11, ..now(7, TIME) };
        let change = BaseChange::Size { then: 10, now: 11 };
        assert_eq!(glance(&then(Some(7), true), longer), Glance::Changed(change));
    }
}
