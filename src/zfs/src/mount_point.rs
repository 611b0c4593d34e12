//! Whether a file system is where its content is looked for: "mounted" is not enough, as it can be mounted elsewhere
//! (`zfs set mountpoint`, an altroot), or hidden by another mount. What is written to the path would then land in
//! another file system.
//!
//! Promises: ZFS is not asked. A file system that hangs holds one thread, however often it is looked at.

use crate::MountPointError;
use bootstash_base::blocking::BlockingPool;
use bootstash_base::mount_table::{DeviceNumber, Mount, MountTable};
use bootstash_base::names::DatasetName;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;
use tokio::time::Instant;

static POOL: LazyLock<BlockingPool> = LazyLock::new(|| BlockingPool::new("mount-point", 1));
const DEADLINE: Duration = Duration::from_secs(5);
/// How both kinds end: `zfs` and `fuse.zfs`.
const KIND: &str = "zfs";

/// The device of the file system `name`, if its root is what is seen at `path`.
pub(crate) async fn check(name: &DatasetName, path: &Path) -> Result<DeviceNumber, MountPointError> {
    let (wanted, at) = (name.clone(), path.to_owned());
    let looking = POOL
        .run(Instant::now() + DEADLINE, move || compare(&wanted, &at, &MountTable::read(), &Seen::at(&at)));
    let no_answer = |_| MountPointError::NoAnswer { path: path.to_owned(), seconds: DEADLINE.as_secs() };
    looking.await.map_err(no_answer)?
}

/// What a path leads to.
struct Seen {
    /// Without links.
    path: PathBuf,
    /// None where nothing is there, or a mount whose daemon has died.
    device: Option<DeviceNumber>,
}

impl Seen {
    /// Blocks.
    fn at(path: &Path) -> Self {
        let device = path.metadata().ok().map(|found| DeviceNumber::from_stat(found.dev()));
        Self { path: path.canonicalize().unwrap_or_else(|_| path.to_owned()), device }
    }

    fn is(&self, mount: &Mount) -> bool {
        self.device == Some(mount.device) && self.path == mount.mount_point && mount.root == Path::new("/")
    }
}

fn compare(
    name: &DatasetName,
    path: &Path,
    table: &MountTable,
    seen: &Seen,
) -> Result<DeviceNumber, MountPointError> {
    let is_own = |mount: &&Mount| mount.kind.ends_with(KIND) && mount.source == name.as_str();
    let own: Vec<_> = table.mounts().iter().filter(is_own).collect();
    if let Some(mount) = own.iter().find(|mount| seen.is(mount)) {
        return Ok(mount.device);
    }
    let (name, path) = (name.clone(), path.to_owned());
    let here = |mount: &&&Mount| mount.mount_point == seen.path;
    let over = table.mounts().iter().rfind(|mount| mount.mount_point == seen.path && !is_own(mount));
    Err(match (own.iter().find(here), over, own.first()) {
        (Some(_), Some(over), _) => {
            MountPointError::Hidden { name, by: over.source.to_string_lossy().into_owned(), path }
        }
        (None, _, Some(other)) => MountPointError::Elsewhere { name, at: other.mount_point.clone(), path },
        _ => MountPointError::NotMounted { name, path },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: DeviceNumber = DeviceNumber { major: 0, minor: 45 };

    fn volume() -> DatasetName {
        "tank/b/volume".parse().unwrap()
    }

    fn outcome(table: &str, device: DeviceNumber, path: &str) -> Result<DeviceNumber, MountPointError> {
        let seen = Seen { path: path.into(), device: Some(device) };
        compare(&volume(), Path::new(path), &MountTable::parse(table.as_bytes()), &seen)
    }

    fn why(table: &str, device: DeviceNumber, path: &str) -> String {
        outcome(table, device, path).unwrap_err().to_string()
    }

    #[test]
    fn only_its_root_at_its_place_is_the_file_system() {
        let below = DeviceNumber { major: 254, minor: 0 };
        for kind in ["zfs", "fuse.zfs"] {
            let table = format!(
                "22 1 254:0 / / rw - ext4 /dev/vda rw\n25 22 0:45 / /srv/v rw shared:7 - {kind} tank/b/volume rw\n"
            );
            assert_eq!(outcome(&table, HERE, "/srv/v").unwrap(), HERE);
            // A folder of the disk below, which looks the same but for its device.
            assert_eq!(
                why(&table, below, "/srv/w"),
                "tank/b/volume is mounted at /srv/v, and belongs at /srv/w; have it mounted there: \
                 zfs set mountpoint=/srv/w tank/b/volume"
            );
            // A folder in it.
            assert!(why(&table, HERE, "/srv/v/images").contains("is mounted at /srv/v, and"));
        }
    }

    #[test]
    fn what_is_not_mounted_is_not_there_whatever_else_is() {
        let below = DeviceNumber { major: 254, minor: 0 };
        let nothing = "22 1 254:0 / / rw - ext4 /dev/vda rw\n";
        assert!(why(nothing, below, "/srv/v").ends_with("mount it there: zfs mount tank/b/volume"));
        let another = format!("{nothing}25 22 0:45 / /srv/v rw - zfs tank/c/volume rw\n");
        assert!(why(&another, HERE, "/srv/v").contains("tank/b/volume is not mounted at /srv/v"));
        let a_part = format!("{nothing}25 22 0:45 /images /srv/v rw - zfs tank/b/volume rw\n");
        assert!(outcome(&a_part, HERE, "/srv/v").is_err());
    }

    #[test]
    fn a_mount_over_it_hides_it() {
        let table =
            "25 22 0:45 / /srv/v rw - zfs tank/b/volume rw\n26 25 0:50 / /srv/v rw - tmpfs scratch rw\n";
        let over = DeviceNumber { major: 0, minor: 50 };
        let text = why(table, over, "/srv/v");
        assert_eq!(
            text,
            "scratch is mounted over tank/b/volume at /srv/v and hides it; unmount that: umount /srv/v"
        );
        // A daemon that died left its mount, which nothing can be asked of.
        let seen = Seen { path: "/srv/v".into(), device: None };
        let table = "25 22 0:45 / /srv/v rw - fuse.zfs tank/b/volume rw\n";
        let died = compare(&volume(), Path::new("/srv/v"), &MountTable::parse(table.as_bytes()), &seen);
        assert!(matches!(died, Err(MountPointError::NotMounted { .. })), "{died:?}");
    }

    #[tokio::test]
    async fn a_folder_is_no_mount() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path(), &dir.path().join("missing"), Path::new("/proc")] {
            let found = check(&volume(), path).await;
            assert!(matches!(found, Err(MountPointError::NotMounted { .. })), "{found:?}");
        }
    }
}
