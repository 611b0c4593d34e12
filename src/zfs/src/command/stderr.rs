//! What `zfs` and `zpool` said on stderr, of both kinds of ZFS: the one place where it is matched.
//!
//! Promises: pure; checked against the recorded texts in `fixtures/`. A text that no line of the
//! table fits is `None`, and goes to the operator in full.

/// What a text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Missing,
    NoParent,
    Exists,
    NoSpace,
    Quota,
    Busy,
    HasDependents,
    WrongBase,
    Modified,
    Truncated,
    Corrupt,
    PartialState,
    AlreadyMounted,
    NotMounted,
    Unavailable,
    NoPool,
    Stale,
    PoolTooSmall,
    AlreadyHeld,
    NotHeld,
    WrongOrder,
    NothingToAbort,
}

/// The first line whose words occur counts: special ones stand before general ones.
const TABLE: &[(&str, Said)] = &[
    ("zfs-fuse daemon is running", Said::Unavailable),
    ("zfs modules are not loaded", Said::Unavailable),
    ("the zfs module", Said::Unavailable),
    ("file descriptor closed", Said::Unavailable),
    ("failed to initialize zfs library", Said::Unavailable),
    ("used in the initial send no longer exists", Said::Stale),
    ("resume token is corrupt", Said::Stale),
    ("no such pool", Said::NoPool),
    ("less than the minimum size", Said::PoolTooSmall),
    ("does not have any resumable receive state", Said::NothingToAbort),
    ("not an earlier snapshot", Said::WrongOrder),
    ("tag already exists on this dataset", Said::AlreadyHeld),
    ("no such tag on this dataset", Said::NotHeld),
    ("contains partially-complete state", Said::PartialState),
    ("does not match incremental source", Said::WrongBase),
    ("has been modified since most recent snapshot", Said::Modified),
    ("incremental stream: destination '", Said::WrongBase),
    ("must specify -f to overwrite", Said::Exists),
    ("must destroy them to overwrite", Said::Exists),
    ("quota exceeded", Said::Quota),
    ("out of space", Said::NoSpace),
    ("no space left on device", Said::NoSpace),
    ("incomplete stream", Said::Truncated),
    ("invalid backup stream", Said::Truncated),
    ("failed to read from stream", Said::Truncated),
    ("checksum mismatch", Said::Corrupt),
    ("bad magic number", Said::Corrupt),
    ("has dependent clones", Said::HasDependents),
    ("filesystem has children", Said::HasDependents),
    ("it's being held", Said::Busy),
    ("dataset is busy", Said::Busy),
    ("target is busy", Said::Busy),
    ("pool or dataset is busy", Said::Busy),
    ("filesystem already mounted", Said::AlreadyMounted),
    ("not currently mounted", Said::NotMounted),
    ("parent does not exist", Said::NoParent),
    // What cannot be opened is the parent on OpenZFS, and what was to be made on zfs-fuse.
    ("dataset does not exist cannot receive new filesystem stream", Said::NoParent),
    ("bookmark exists", Said::Exists),
    ("already exists", Said::Exists),
    ("could not find any snapshots to destroy", Said::Missing),
    ("dataset does not exist", Said::Missing),
    ("does not exist", Said::Missing),
];

/// Reads a text.
pub(super) fn read(stderr: &str) -> Option<Said> {
    // Texts are broken into lines at places that differ, and cases differ between versions.
    let text = stderr.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    TABLE.iter().find(|(words, _)| text.contains(words)).map(|&(_, said)| said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::path::Path;

    const EXPECTED: &[(&str, Said)] = &[
        ("openzfs-abort-missing", Said::Missing),
        ("openzfs-abort-nothing", Said::NothingToAbort),
        ("openzfs-clone-exists", Said::Exists),
        ("openzfs-clone-missing", Said::Missing),
        ("openzfs-clone-no-parent", Said::NoParent),
        ("openzfs-create-exists", Said::Exists),
        ("openzfs-create-no-parent", Said::NoParent),
        ("openzfs-create-no-pool", Said::NoPool),
        ("openzfs-destroy-busy", Said::Busy),
        ("openzfs-destroy-children", Said::HasDependents),
        ("openzfs-destroy-clones", Said::HasDependents),
        ("openzfs-destroy-held", Said::Busy),
        ("openzfs-destroy-missing-snapshot", Said::Missing),
        ("openzfs-destroy-missing", Said::Missing),
        ("openzfs-destroy-open", Said::Busy),
        ("openzfs-destroy-r-clones", Said::HasDependents),
        ("openzfs-get-missing-snapshot", Said::Missing),
        ("openzfs-get-missing", Said::Missing),
        ("openzfs-get-no-pool", Said::Missing),
        ("openzfs-hold-missing", Said::Missing),
        ("openzfs-hold-twice", Said::AlreadyHeld),
        ("openzfs-mount-missing", Said::Missing),
        ("openzfs-mount-mounted", Said::AlreadyMounted),
        ("openzfs-no-module-zfs", Said::Unavailable),
        ("openzfs-no-module-zpool", Said::Unavailable),
        ("openzfs-no-pool", Said::NoPool),
        ("openzfs-pool-too-small", Said::PoolTooSmall),
        ("openzfs-receive-bad-magic", Said::Corrupt),
        ("openzfs-receive-busy-full", Said::Exists),
        ("openzfs-receive-busy", Said::Busy),
        ("openzfs-receive-corrupt-full", Said::Corrupt),
        ("openzfs-receive-corrupt", Said::Corrupt),
        ("openzfs-receive-empty", Said::Truncated),
        ("openzfs-receive-exists-with-snapshots", Said::Exists),
        ("openzfs-receive-exists", Said::Exists),
        ("openzfs-receive-garbage", Said::Corrupt),
        ("openzfs-receive-modified", Said::Modified),
        ("openzfs-receive-no-destination", Said::WrongBase),
        ("openzfs-receive-no-parent-increment", Said::WrongBase),
        ("openzfs-receive-no-parent", Said::NoParent),
        ("openzfs-receive-no-pool", Said::NoParent),
        ("openzfs-receive-no-space-full", Said::NoSpace),
        ("openzfs-receive-no-space", Said::NoSpace),
        ("openzfs-receive-partial-state-full", Said::Exists),
        ("openzfs-receive-partial-state-new", Said::Exists),
        ("openzfs-receive-partial-state-s", Said::PartialState),
        ("openzfs-receive-partial-state", Said::PartialState),
        ("openzfs-receive-quota-increment", Said::Quota),
        ("openzfs-receive-quota-own", Said::Quota),
        ("openzfs-receive-quota", Said::Quota),
        ("openzfs-receive-saved-full", Said::Truncated),
        ("openzfs-receive-saved", Said::Truncated),
        ("openzfs-receive-truncated-begin", Said::Truncated),
        ("openzfs-receive-truncated-full", Said::Truncated),
        ("openzfs-receive-truncated-stub", Said::Truncated),
        ("openzfs-receive-truncated", Said::Truncated),
        ("openzfs-receive-wrong-base", Said::WrongBase),
        ("openzfs-release-missing", Said::NotHeld),
        ("openzfs-send-bad-token", Said::Stale),
        ("openzfs-send-damaged-token", Said::Stale),
        ("openzfs-send-missing-base", Said::Missing),
        ("openzfs-send-missing", Said::Missing),
        ("openzfs-send-token-source-gone", Said::Stale),
        ("openzfs-send-wrong-order", Said::WrongOrder),
        ("openzfs-snapshot-exists", Said::Exists),
        ("openzfs-snapshot-missing", Said::Missing),
        ("openzfs-unmount-busy", Said::Busy),
        ("openzfs-unmount-unmounted", Said::NotMounted),
        ("zfs-fuse-clone-exists", Said::Exists),
        ("zfs-fuse-clone-missing", Said::Missing),
        ("zfs-fuse-clone-no-parent", Said::NoParent),
        ("zfs-fuse-create-exists", Said::Exists),
        ("zfs-fuse-create-no-parent", Said::NoParent),
        ("zfs-fuse-create-no-pool", Said::NoPool),
        ("zfs-fuse-destroy-busy", Said::Busy),
        ("zfs-fuse-destroy-children", Said::HasDependents),
        ("zfs-fuse-destroy-clones", Said::HasDependents),
        ("zfs-fuse-destroy-held", Said::Busy),
        ("zfs-fuse-destroy-missing-snapshot", Said::Missing),
        ("zfs-fuse-destroy-missing", Said::Missing),
        ("zfs-fuse-destroy-open", Said::Busy),
        ("zfs-fuse-destroy-r-clones", Said::HasDependents),
        ("zfs-fuse-get-missing-snapshot", Said::Missing),
        ("zfs-fuse-get-missing", Said::Missing),
        ("zfs-fuse-get-no-pool", Said::Missing),
        ("zfs-fuse-hold-missing", Said::Missing),
        ("zfs-fuse-hold-twice", Said::AlreadyHeld),
        ("zfs-fuse-mount-missing", Said::Missing),
        ("zfs-fuse-mount-mounted", Said::AlreadyMounted),
        ("zfs-fuse-no-daemon-pool", Said::Unavailable),
        ("zfs-fuse-no-daemon", Said::Unavailable),
        ("zfs-fuse-no-pool", Said::NoPool),
        ("zfs-fuse-pool-too-small", Said::PoolTooSmall),
        ("zfs-fuse-receive-bad-magic", Said::Corrupt),
        ("zfs-fuse-receive-busy-full", Said::Exists),
        ("zfs-fuse-receive-busy", Said::Busy),
        ("zfs-fuse-receive-corrupt-full", Said::Corrupt),
        ("zfs-fuse-receive-corrupt", Said::Corrupt),
        ("zfs-fuse-receive-daemon-died", Said::Unavailable),
        ("zfs-fuse-receive-empty", Said::Truncated),
        ("zfs-fuse-receive-exists-with-snapshots", Said::Exists),
        ("zfs-fuse-receive-exists", Said::Exists),
        ("zfs-fuse-receive-garbage", Said::Corrupt),
        ("zfs-fuse-receive-modified", Said::Modified),
        ("zfs-fuse-receive-no-destination", Said::WrongBase),
        ("zfs-fuse-receive-no-parent-increment", Said::WrongBase),
        ("zfs-fuse-receive-no-parent", Said::NoParent),
        ("zfs-fuse-receive-no-pool", Said::NoParent),
        ("zfs-fuse-receive-no-space-full", Said::NoSpace),
        ("zfs-fuse-receive-no-space", Said::NoSpace),
        ("zfs-fuse-receive-quota-increment", Said::NoSpace),
        ("zfs-fuse-receive-quota-own", Said::NoSpace),
        // zfs-fuse calls a quota that is reached what it calls a full pool.
        ("zfs-fuse-receive-quota", Said::NoSpace),
        ("zfs-fuse-receive-refquota", Said::NoSpace),
        ("zfs-fuse-receive-truncated-begin", Said::Truncated),
        ("zfs-fuse-receive-truncated-full", Said::Truncated),
        ("zfs-fuse-receive-truncated-stub", Said::Truncated),
        ("zfs-fuse-receive-truncated", Said::Truncated),
        ("zfs-fuse-receive-wrong-base", Said::WrongBase),
        ("zfs-fuse-release-missing", Said::NotHeld),
        ("zfs-fuse-send-missing-base", Said::Missing),
        ("zfs-fuse-send-missing", Said::Missing),
        ("zfs-fuse-send-wrong-order", Said::WrongOrder),
        ("zfs-fuse-snapshot-exists", Said::Exists),
        ("zfs-fuse-snapshot-missing", Said::Missing),
        ("zfs-fuse-unmount-busy", Said::Busy),
        ("zfs-fuse-unmount-unmounted", Said::NotMounted),
    ];

    /// Every file in the folder, so that one without an expectation is noticed.
    fn recorded() -> BTreeMap<String, Option<Said>> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/command/fixtures");
        std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| {
                let text = std::fs::read_to_string(&path).unwrap();
                (path.file_stem().unwrap().to_str().unwrap().to_owned(), read(&text))
            })
            .collect()
    }

    #[test]
    fn reads_every_recorded_text() {
        let expected =
            EXPECTED.iter().map(|&(name, said)| (name.to_owned(), Some(said))).collect::<BTreeMap<_, _>>();
        assert_eq!(recorded(), expected);
    }

    #[test]
    fn leaves_the_unknown_to_the_operator() {
        assert_eq!(read("cannot frobnicate: flux"), None);
        assert_eq!(read(""), None);
    }
}
