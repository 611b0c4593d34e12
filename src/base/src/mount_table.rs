//! What is mounted where, by the kernel's own table: no file system is asked, and so none can hang.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// That of this process's mount namespace.
const OWN_TABLE: &str = "/proc/self/mountinfo";
/// Between a line's optional fields and the kind of file system.
const SEPARATOR: &[u8] = b"-";
/// Of the minor number, in the 64 bits that `stat` gives.
const MINOR_LOW_BITS: u64 = 0xff;
const MINOR_HIGH_BITS: u64 = 0xffff_ff00;

/// The number of a device: each mounted file system has one of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceNumber {
    /// Zero for file systems that no block device holds, as ZFS's.
    pub major: u32,
    /// Tells them apart.
    pub minor: u32,
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The device that files on it have.
    pub device: DeviceNumber,
    /// Which directory of the file system is seen; `/` where it is not a bind mount of a part.
    pub root: PathBuf,
    /// Where it is seen.
    pub mount_point: PathBuf,
    /// The kind of file system, as `ext4` or `fuse.zfs`.
    pub kind: String,
    /// What is mounted: for ZFS the name of the data set.
    pub source: OsString,
}

/// What is mounted at a moment, in the order in which it was.
#[derive(Clone, Debug, Default)]
pub struct MountTable(Vec<Mount>);

impl DeviceNumber {
    /// That of `stat`'s `st_dev`, as Linux packs it.
    #[allow(clippy::cast_possible_truncation, reason = "both parts have 32 bits")]
    pub fn from_stat(packed: u64) -> Self {
        let major = ((packed >> 32) & 0xffff_f000) | ((packed >> 8) & 0xfff);
        let minor = ((packed >> 12) & MINOR_HIGH_BITS) | (packed & MINOR_LOW_BITS);
        Self { major: major as u32, minor: minor as u32 }
    }

    fn parse(word: &[u8]) -> Option<Self> {
        let (major, minor) = std::str::from_utf8(word).ok()?.split_once(':')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl MountTable {
    /// What is mounted now, as this process sees it. Where the kernel does not tell, it is empty.
    pub fn read() -> Self {
        Self::read_from(Path::new(OWN_TABLE)).unwrap_or_default()
    }

    /// The table of another process: `/proc/PID/mountinfo`.
    ///
    /// # Errors
    /// When it cannot be read: the process is gone, or somebody else's.
    pub fn read_from(path: &Path) -> io::Result<Self> {
        std::fs::read(path).map(|table| Self::parse(&table))
    }

    /// Reads the kernel's text. Lines that are cut are left out.
    pub fn parse(table: &[u8]) -> Self {
        Self(table.split(|byte| *byte == b'\n').filter_map(mount).collect())
    }

    /// All of them.
    pub fn mounts(&self) -> &[Mount] {
        &self.0
    }

    /// The mount point that holds a path, whose links are not followed.
    pub fn mount_point_of(&self, path: &Path) -> PathBuf {
        let above = self.0.iter().map(|mount| &mount.mount_point).filter(|mount| path.starts_with(mount));
        let nearest = above.max_by_key(|mount| mount.as_os_str().len());
        nearest.map_or_else(|| PathBuf::from("/"), Clone::clone)
    }
}

fn mount(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|byte| *byte == b' ').skip(2);
    let device = DeviceNumber::parse(words.next()?)?;
    let (root, mount_point) = (path(words.next()?), path(words.next()?));
    let mut words = words.skip_while(|word| *word != SEPARATOR).skip(1);
    let kind = String::from_utf8_lossy(words.next()?).into_owned();
    let source = OsString::from_vec(unescaped(words.next()?));
    Some(Mount { device, root, mount_point, kind, source })
}

fn path(word: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(unescaped(word)))
}

/// Blanks, tabs, line ends and backslashes stand as `\040` in the table.
fn unescaped(word: &[u8]) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), word);
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..3).filter(|_| *first == b'\\');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[3..] } else { tail };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    /// The last two are as OpenZFS and zfs-fuse show themselves.
    const TABLE: &[u8] = b"22 27 0:21 / / rw - ext4 /dev/vda rw\n\
        23 22 0:22 / /vms rw,relatime shared:1 - nfs host:/vms rw\n\
        24 23 0:23 /sub /vms/a\\040b\\134 rw - nfs host:/ab rw\n\
        25 22 0:45 / /tank/v rw,noatime shared:7 master:2 - zfs tank/v rw,xattr,noacl\n\
        67 43 0:39 / /mnt/a rw,relatime - fuse.zfs tank/a rw,user_id=0,group_id=0,allow_other\n\
        cut";

    #[test]
    fn the_nearest_mount_above_a_path_holds_it() {
        let mounts = MountTable::parse(TABLE);
        for (path, mount) in [
            ("/vms/x.qcow2", "/vms"),
            ("/vms/a b\\/x.qcow2", "/vms/a b\\"),
            ("/vms2/x.qcow2", "/"),
            ("relative", "/"),
        ] {
            assert_eq!(mounts.mount_point_of(Path::new(path)), Path::new(mount), "{path}");
        }
        assert_eq!(MountTable::parse(b"").mount_point_of(Path::new("/vms/x")), Path::new("/"));
        assert_eq!(MountTable::read().mount_point_of(Path::new("/proc/self/fd")), Path::new("/proc"));
    }

    #[test]
    fn what_is_mounted_is_told_with_its_device() {
        let table = MountTable::parse(TABLE);
        assert_eq!(table.mounts().len(), 5);
        let zfs: Vec<_> = table.mounts().iter().filter(|it| it.kind.ends_with("zfs")).collect();
        assert_eq!(
            (zfs[0].source.to_str(), zfs[0].device),
            (Some("tank/v"), DeviceNumber { major: 0, minor: 45 })
        );
        assert_eq!((zfs[1].kind.as_str(), zfs[1].mount_point.as_path()), ("fuse.zfs", Path::new("/mnt/a")));
        assert_eq!(table.mounts()[2].root, Path::new("/sub"));
    }

    #[test]
    fn the_device_of_a_file_is_that_of_its_mount() {
        let table = MountTable::read();
        let mount = table.mounts().iter().find(|it| it.mount_point == Path::new("/proc")).unwrap();
        assert_eq!(DeviceNumber::from_stat(Path::new("/proc").metadata().unwrap().dev()), mount.device);
        let packed = (0x1234_5000_u64 << 32) | (0xabc << 8) | (0x00de_f012_u64 & !0xff) << 12 | 0x12;
        assert_eq!(DeviceNumber::from_stat(packed), DeviceNumber { major: 0x1234_5abc, minor: 0x00de_f012 });
    }
}
