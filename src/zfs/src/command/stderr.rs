//! What `zfs` and `zpool` said on stderr, of both kinds of ZFS: the one place where it is matched.
//!
//! Promises: pure; checked against the recorded texts in `fixtures/`. A text that no line of the
//! table fits is `None`, and goes to the operator in full.

/// What a text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ZfsMessage {
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
const TABLE: &[(&str, ZfsMessage)] = &[
    ("zfs-fuse daemon is running", ZfsMessage::Unavailable),
    ("zfs modules are not loaded", ZfsMessage::Unavailable),
    ("the zfs module", ZfsMessage::Unavailable),
    ("file descriptor closed", ZfsMessage::Unavailable),
    ("failed to initialize zfs library", ZfsMessage::Unavailable),
    ("used in the initial send no longer exists", ZfsMessage::Stale),
    ("resume token is corrupt", ZfsMessage::Stale),
    ("no such pool", ZfsMessage::NoPool),
    ("less than the minimum size", ZfsMessage::PoolTooSmall),
    ("does not have any resumable receive state", ZfsMessage::NothingToAbort),
    ("not an earlier snapshot", ZfsMessage::WrongOrder),
    ("tag already exists on this dataset", ZfsMessage::AlreadyHeld),
    ("no such tag on this dataset", ZfsMessage::NotHeld),
    ("contains partially-complete state", ZfsMessage::PartialState),
    ("does not match incremental source", ZfsMessage::WrongBase),
    ("has been modified since most recent snapshot", ZfsMessage::Modified),
    ("incremental stream: destination '", ZfsMessage::WrongBase),
    ("must specify -f to overwrite", ZfsMessage::Exists),
    ("must destroy them to overwrite", ZfsMessage::Exists),
    ("quota exceeded", ZfsMessage::Quota),
    ("out of space", ZfsMessage::NoSpace),
    ("no space left on device", ZfsMessage::NoSpace),
    ("incomplete stream", ZfsMessage::Truncated),
    ("invalid backup stream", ZfsMessage::Truncated),
    ("failed to read from stream", ZfsMessage::Truncated),
    ("checksum mismatch", ZfsMessage::Corrupt),
    ("bad magic number", ZfsMessage::Corrupt),
    ("has dependent clones", ZfsMessage::HasDependents),
    ("filesystem has children", ZfsMessage::HasDependents),
    ("it's being held", ZfsMessage::Busy),
    ("dataset is busy", ZfsMessage::Busy),
    ("target is busy", ZfsMessage::Busy),
    ("pool or dataset is busy", ZfsMessage::Busy),
    ("filesystem already mounted", ZfsMessage::AlreadyMounted),
    ("not currently mounted", ZfsMessage::NotMounted),
    ("parent does not exist", ZfsMessage::NoParent),
    // What cannot be opened is the parent on OpenZFS, and what was to be made on zfs-fuse.
    ("dataset does not exist cannot receive new filesystem stream", ZfsMessage::NoParent),
    ("bookmark exists", ZfsMessage::Exists),
    ("already exists", ZfsMessage::Exists),
    ("could not find any snapshots to destroy", ZfsMessage::Missing),
    ("dataset does not exist", ZfsMessage::Missing),
    ("does not exist", ZfsMessage::Missing),
];

/// Reads a text.
pub(super) fn read(stderr: &str) -> Option<ZfsMessage> {
    // Texts are broken into lines at places that differ, and cases differ between versions.
    let text = stderr.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    TABLE.iter().find(|(words, _)| text.contains(words)).map(|&(_, said)| said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::path::Path;

    const EXPECTED: &[(&str, ZfsMessage)] = &[
        ("openzfs-abort-missing", ZfsMessage::Missing),
        ("openzfs-abort-nothing", ZfsMessage::NothingToAbort),
        ("openzfs-clone-exists", ZfsMessage::Exists),
        ("openzfs-clone-missing", ZfsMessage::Missing),
        ("openzfs-clone-no-parent", ZfsMessage::NoParent),
        ("openzfs-create-exists", ZfsMessage::Exists),
        ("openzfs-create-no-parent", ZfsMessage::NoParent),
        ("openzfs-create-no-pool", ZfsMessage::NoPool),
        ("openzfs-destroy-busy", ZfsMessage::Busy),
        ("openzfs-destroy-children", ZfsMessage::HasDependents),
        ("openzfs-destroy-clones", ZfsMessage::HasDependents),
        ("openzfs-destroy-held", ZfsMessage::Busy),
        ("openzfs-destroy-missing-snapshot", ZfsMessage::Missing),
        ("openzfs-destroy-missing", ZfsMessage::Missing),
        ("openzfs-destroy-open", ZfsMessage::Busy),
        ("openzfs-destroy-r-clones", ZfsMessage::HasDependents),
        ("openzfs-get-missing-snapshot", ZfsMessage::Missing),
        ("openzfs-get-missing", ZfsMessage::Missing),
        ("openzfs-get-no-pool", ZfsMessage::Missing),
        ("openzfs-hold-missing", ZfsMessage::Missing),
        ("openzfs-hold-twice", ZfsMessage::AlreadyHeld),
        ("openzfs-mount-missing", ZfsMessage::Missing),
        ("openzfs-mount-mounted", ZfsMessage::AlreadyMounted),
        ("openzfs-no-module-zfs", ZfsMessage::Unavailable),
        ("openzfs-no-module-zpool", ZfsMessage::Unavailable),
        ("openzfs-no-pool", ZfsMessage::NoPool),
        ("openzfs-pool-too-small", ZfsMessage::PoolTooSmall),
        ("openzfs-receive-bad-magic", ZfsMessage::Corrupt),
        ("openzfs-receive-busy-full", ZfsMessage::Exists),
        ("openzfs-receive-busy", ZfsMessage::Busy),
        ("openzfs-receive-corrupt-full", ZfsMessage::Corrupt),
        ("openzfs-receive-corrupt", ZfsMessage::Corrupt),
        ("openzfs-receive-empty", ZfsMessage::Truncated),
        ("openzfs-receive-exists-with-snapshots", ZfsMessage::Exists),
        ("openzfs-receive-exists", ZfsMessage::Exists),
        ("openzfs-receive-garbage", ZfsMessage::Corrupt),
        ("openzfs-receive-modified", ZfsMessage::Modified),
        ("openzfs-receive-no-destination", ZfsMessage::WrongBase),
        ("openzfs-receive-no-parent-increment", ZfsMessage::WrongBase),
        ("openzfs-receive-no-parent", ZfsMessage::NoParent),
        ("openzfs-receive-no-pool", ZfsMessage::NoParent),
        ("openzfs-receive-no-space-full", ZfsMessage::NoSpace),
        ("openzfs-receive-no-space", ZfsMessage::NoSpace),
        ("openzfs-receive-partial-state-full", ZfsMessage::Exists),
        ("openzfs-receive-partial-state-new", ZfsMessage::Exists),
        ("openzfs-receive-partial-state-s", ZfsMessage::PartialState),
        ("openzfs-receive-partial-state", ZfsMessage::PartialState),
        ("openzfs-receive-quota-increment", ZfsMessage::Quota),
        ("openzfs-receive-quota-own", ZfsMessage::Quota),
        ("openzfs-receive-quota", ZfsMessage::Quota),
        ("openzfs-receive-saved-full", ZfsMessage::Truncated),
        ("openzfs-receive-saved", ZfsMessage::Truncated),
        ("openzfs-receive-truncated-begin", ZfsMessage::Truncated),
        ("openzfs-receive-truncated-full", ZfsMessage::Truncated),
        ("openzfs-receive-truncated-stub", ZfsMessage::Truncated),
        ("openzfs-receive-truncated", ZfsMessage::Truncated),
        ("openzfs-receive-wrong-base", ZfsMessage::WrongBase),
        ("openzfs-release-missing", ZfsMessage::NotHeld),
        ("openzfs-send-bad-token", ZfsMessage::Stale),
        ("openzfs-send-damaged-token", ZfsMessage::Stale),
        ("openzfs-send-missing-base", ZfsMessage::Missing),
        ("openzfs-send-missing", ZfsMessage::Missing),
        ("openzfs-send-token-source-gone", ZfsMessage::Stale),
        ("openzfs-send-wrong-order", ZfsMessage::WrongOrder),
        ("openzfs-snapshot-exists", ZfsMessage::Exists),
        ("openzfs-snapshot-missing", ZfsMessage::Missing),
        ("openzfs-unmount-busy", ZfsMessage::Busy),
        ("openzfs-unmount-unmounted", ZfsMessage::NotMounted),
        ("zfs-fuse-clone-exists", ZfsMessage::Exists),
        ("zfs-fuse-clone-missing", ZfsMessage::Missing),
        ("zfs-fuse-clone-no-parent", ZfsMessage::NoParent),
        ("zfs-fuse-create-exists", ZfsMessage::Exists),
        ("zfs-fuse-create-no-parent", ZfsMessage::NoParent),
        ("zfs-fuse-create-no-pool", ZfsMessage::NoPool),
        ("zfs-fuse-destroy-busy", ZfsMessage::Busy),
        ("zfs-fuse-destroy-children", ZfsMessage::HasDependents),
        ("zfs-fuse-destroy-clones", ZfsMessage::HasDependents),
        ("zfs-fuse-destroy-held", ZfsMessage::Busy),
        ("zfs-fuse-destroy-missing-snapshot", ZfsMessage::Missing),
        ("zfs-fuse-destroy-missing", ZfsMessage::Missing),
        ("zfs-fuse-destroy-open", ZfsMessage::Busy),
        ("zfs-fuse-destroy-r-clones", ZfsMessage::HasDependents),
        ("zfs-fuse-get-missing-snapshot", ZfsMessage::Missing),
        ("zfs-fuse-get-missing", ZfsMessage::Missing),
        ("zfs-fuse-get-no-pool", ZfsMessage::Missing),
        ("zfs-fuse-hold-missing", ZfsMessage::Missing),
        ("zfs-fuse-hold-twice", ZfsMessage::AlreadyHeld),
        ("zfs-fuse-mount-missing", ZfsMessage::Missing),
        ("zfs-fuse-mount-mounted", ZfsMessage::AlreadyMounted),
        ("zfs-fuse-no-daemon-pool", ZfsMessage::Unavailable),
        ("zfs-fuse-no-daemon", ZfsMessage::Unavailable),
        ("zfs-fuse-no-pool", ZfsMessage::NoPool),
        ("zfs-fuse-pool-too-small", ZfsMessage::PoolTooSmall),
        ("zfs-fuse-receive-bad-magic", ZfsMessage::Corrupt),
        ("zfs-fuse-receive-busy-full", ZfsMessage::Exists),
        ("zfs-fuse-receive-busy", ZfsMessage::Busy),
        ("zfs-fuse-receive-corrupt-full", ZfsMessage::Corrupt),
        ("zfs-fuse-receive-corrupt", ZfsMessage::Corrupt),
        ("zfs-fuse-receive-daemon-died", ZfsMessage::Unavailable),
        ("zfs-fuse-receive-empty", ZfsMessage::Truncated),
        ("zfs-fuse-receive-exists-with-snapshots", ZfsMessage::Exists),
        ("zfs-fuse-receive-exists", ZfsMessage::Exists),
        ("zfs-fuse-receive-garbage", ZfsMessage::Corrupt),
        ("zfs-fuse-receive-modified", ZfsMessage::Modified),
        ("zfs-fuse-receive-no-destination", ZfsMessage::WrongBase),
        ("zfs-fuse-receive-no-parent-increment", ZfsMessage::WrongBase),
        ("zfs-fuse-receive-no-parent", ZfsMessage::NoParent),
        ("zfs-fuse-receive-no-pool", ZfsMessage::NoParent),
        ("zfs-fuse-receive-no-space-full", ZfsMessage::NoSpace),
        ("zfs-fuse-receive-no-space", ZfsMessage::NoSpace),
        ("zfs-fuse-receive-quota-increment", ZfsMessage::NoSpace),
        ("zfs-fuse-receive-quota-own", ZfsMessage::NoSpace),
        // zfs-fuse calls a quota that is reached what it calls a full pool.
        ("zfs-fuse-receive-quota", ZfsMessage::NoSpace),
        ("zfs-fuse-receive-refquota", ZfsMessage::NoSpace),
        ("zfs-fuse-receive-truncated-begin", ZfsMessage::Truncated),
        ("zfs-fuse-receive-truncated-full", ZfsMessage::Truncated),
        ("zfs-fuse-receive-truncated-stub", ZfsMessage::Truncated),
        ("zfs-fuse-receive-truncated", ZfsMessage::Truncated),
        ("zfs-fuse-receive-wrong-base", ZfsMessage::WrongBase),
        ("zfs-fuse-release-missing", ZfsMessage::NotHeld),
        ("zfs-fuse-send-missing-base", ZfsMessage::Missing),
        ("zfs-fuse-send-missing", ZfsMessage::Missing),
        ("zfs-fuse-send-wrong-order", ZfsMessage::WrongOrder),
        ("zfs-fuse-snapshot-exists", ZfsMessage::Exists),
        ("zfs-fuse-snapshot-missing", ZfsMessage::Missing),
        ("zfs-fuse-unmount-busy", ZfsMessage::Busy),
        ("zfs-fuse-unmount-unmounted", ZfsMessage::NotMounted),
    ];

    /// Every file in the folder, so that one without an expectation is noticed.
    fn recorded() -> BTreeMap<String, Option<ZfsMessage>> {
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
