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
    ("new filesystem stream: dataset does not exist", Said::NoParent),
    ("already exists", Said::Exists),
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
        ("openzfs-destroy-busy", Said::Busy),
        ("openzfs-destroy-held", Said::Busy),
        ("openzfs-get-missing", Said::Missing),
        ("openzfs-mount-mounted", Said::AlreadyMounted),
        ("openzfs-receive-bad-magic", Said::Corrupt),
        ("openzfs-receive-corrupt", Said::Corrupt),
        ("openzfs-receive-empty", Said::Truncated),
        ("openzfs-receive-exists", Said::Exists),
        ("openzfs-receive-exists-with-snapshots", Said::Exists),
        ("openzfs-receive-modified", Said::Modified),
        ("openzfs-receive-no-destination", Said::WrongBase),
        ("openzfs-receive-no-space", Said::NoSpace),
        ("openzfs-receive-partial-state", Said::PartialState),
        ("openzfs-receive-quota", Said::Quota),
        ("openzfs-receive-truncated", Said::Truncated),
        ("openzfs-receive-wrong-base", Said::WrongBase),
        ("zfs-fuse-clone-missing", Said::Missing),
        ("zfs-fuse-clone-no-parent", Said::NoParent),
        ("zfs-fuse-create-exists", Said::Exists),
        ("zfs-fuse-create-no-parent", Said::NoParent),
        ("zfs-fuse-destroy-busy", Said::Busy),
        ("zfs-fuse-destroy-children", Said::HasDependents),
        ("zfs-fuse-destroy-clones", Said::HasDependents),
        ("zfs-fuse-destroy-held", Said::Busy),
        ("zfs-fuse-destroy-r-clones", Said::HasDependents),
        ("zfs-fuse-get-missing", Said::Missing),
        ("zfs-fuse-mount-mounted", Said::AlreadyMounted),
        ("zfs-fuse-no-daemon", Said::Unavailable),
        ("zfs-fuse-no-pool", Said::NoPool),
        ("zfs-fuse-receive-bad-magic", Said::Corrupt),
        ("zfs-fuse-receive-busy", Said::Busy),
        ("zfs-fuse-receive-corrupt", Said::Corrupt),
        ("zfs-fuse-receive-daemon-died", Said::Unavailable),
        ("zfs-fuse-receive-empty", Said::Truncated),
        ("zfs-fuse-receive-exists", Said::Exists),
        ("zfs-fuse-receive-modified", Said::Modified),
        ("zfs-fuse-receive-no-destination", Said::WrongBase),
        ("zfs-fuse-receive-no-parent", Said::NoParent),
        ("zfs-fuse-receive-no-space", Said::NoSpace),
        ("zfs-fuse-receive-truncated", Said::Truncated),
        ("zfs-fuse-receive-wrong-base", Said::WrongBase),
        ("zfs-fuse-send-missing", Said::Missing),
        ("zfs-fuse-snapshot-exists", Said::Exists),
        ("zfs-fuse-snapshot-missing", Said::Missing),
        ("zfs-fuse-unmount-busy", Said::Busy),
    ];

    /// Every file in the folder, so that one without an expectation is noticed.
    fn recorded() -> BTreeMap<String, Option<Said>> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/zfs/command/fixtures");
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
