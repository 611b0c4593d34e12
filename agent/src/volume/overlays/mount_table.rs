//! Which mount a path is on, by the kernel's table: the storage itself is not asked, and may hang.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

const TABLE: &str = "/proc/self/mountinfo";
/// Which word of a line is the mount point.
const MOUNT_POINT: usize = 4;

/// What is mounted at a moment.
#[derive(Debug)]
pub(in crate::volume) struct MountTable(Vec<PathBuf>);

impl MountTable {
    /// What is mounted now. Where the kernel does not tell, all is one storage.
    pub(in crate::volume) fn read() -> Self {
        Self::parse(&std::fs::read(TABLE).unwrap_or_default())
    }

    fn parse(table: &[u8]) -> Self {
        let lines = table.split(|byte| *byte == b'\n');
        let words = lines.filter_map(|line| line.split(|byte| *byte == b' ').nth(MOUNT_POINT));
        Self(words.map(|word| PathBuf::from(OsString::from_vec(unescaped(word)))).collect())
    }

    /// The mount point that holds a path, whose links are not followed.
    pub(in crate::volume) fn mount_point_of(&self, path: &Path) -> PathBuf {
        let above = self.0.iter().filter(|mount| path.starts_with(mount));
        let nearest = above.max_by_key(|mount| mount.as_os_str().len());
        nearest.map_or_else(|| PathBuf::from("/"), Clone::clone)
    }
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

    #[test]
    fn the_nearest_mount_above_a_path_holds_it() {
        let mounts = MountTable::parse(
            b"22 27 0:21 / / rw - ext4 /dev/vda rw\n\
              23 22 0:22 / /vms rw,relatime shared:1 - nfs host:/vms rw\n\
              24 23 0:23 /sub /vms/a\\040b\\134 rw - nfs host:/ab rw\n",
        );
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
}
