//! Directories named by a pattern, as `/var/lib/one/datastores/*/*`: one for each VM.
//!
//! Promises: `*` stands for any part of one name, and for none that begins with a dot; where one stands, links are
//! not followed; a pattern stands for no more than [`MOST_DIRECTORIES`], and says so if it would.

use std::fs::DirEntry;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// More VMs than a host or a shared directory should have.
const MOST_DIRECTORIES: usize = 10_000;
/// More entries than a directory of directories should have.
const MOST_ENTRIES: usize = 20_000;

/// A directory, or a pattern for several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryPattern(PathBuf);

impl From<PathBuf> for DirectoryPattern {
    fn from(pattern: PathBuf) -> Self {
        Self(pattern)
    }
}

impl DirectoryPattern {
    /// As it was given.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// The directory above the first `*`; the whole where there is none.
    pub fn fixed_part(&self) -> PathBuf {
        self.0.components().take_while(|component| !is_pattern(component)).collect()
    }

    /// The directories it stands for. Blocks where there is a `*`.
    ///
    /// # Errors
    /// Where there may be more than were seen.
    pub fn expand(&self) -> io::Result<Vec<PathBuf>> {
        let (mut found, mut seen_pattern) = (vec![PathBuf::new()], false);
        for component in self.0.components() {
            if is_pattern(&component) {
                seen_pattern = true;
                found = matching(&found, component.as_os_str().as_bytes())?;
            } else {
                found.iter_mut().for_each(|directory| directory.push(component));
                if seen_pattern {
                    found.retain(|directory| directory.is_dir());
                }
            }
        }
        Ok(found)
    }
}

fn is_pattern(component: &Component<'_>) -> bool {
    component.as_os_str().as_bytes().contains(&b'*')
}

/// The directories in `parents` whose names match.
fn matching(parents: &[PathBuf], pattern: &[u8]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for parent in parents {
        let entries = match parent.read_dir() {
            // One VM's went, or this is a file that got in its place.
            Err(error) if is_absence(&error) => continue,
            entries => entries?,
        };
        for (count, entry) in entries.enumerate() {
            let entry = entry?;
            if is_match(&entry, pattern)? {
                found.push(entry.path());
            }
            if count == MOST_ENTRIES || found.len() > MOST_DIRECTORIES {
                return Err(io::Error::other(format!(
                    "it stands for more than {MOST_DIRECTORIES} directories, or one holds more than {MOST_ENTRIES} entries"
                )));
            }
        }
    }
    Ok(found)
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The directory itself tells what kind an entry is: what is mounted on it may hang.
fn is_match(entry: &DirEntry, pattern: &[u8]) -> io::Result<bool> {
    let name = entry.file_name();
    let hidden = name.as_bytes().starts_with(b".") && !pattern.starts_with(b".");
    Ok(!hidden && matches(name.as_bytes(), pattern) && entry.file_type()?.is_dir())
}

/// Whether a name is as the pattern says, byte for byte.
fn matches(name: &[u8], pattern: &[u8]) -> bool {
    let mut parts = pattern.split(|byte| *byte == b'*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = position(rest, part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

fn position(within: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() { Some(0) } else { within.windows(part.len()).position(|window| window == part) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::fs;

    #[test]
    fn a_star_stands_for_any_part_of_a_name() {
        for (pattern, name, wanted) in [
            ("*", "vm", true),
            ("*", "", true),
            ("vm", "vm", true),
            ("vm", "vm1", false),
            ("vm*", "vm17", true),
            ("vm*", "v", false),
            ("*.d", "a.d", true),
            ("*.d", "a.d.e", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("**", "x", true),
        ] {
            assert_eq!(matches(name.as_bytes(), pattern.as_bytes()), wanted, "{pattern} {name}");
        }
    }

    fn expanded(pattern: PathBuf) -> Vec<PathBuf> {
        let mut found = DirectoryPattern::from(pattern).expand().unwrap();
        found.sort();
        found
    }

    #[test]
    fn finds_a_directory_for_each_vm_whatever_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let odd = OsStr::from_bytes(b"\xff");
        for name in ["0/disks", "1", ".hidden/disks"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        fs::create_dir_all(dir.path().join(odd).join("disks")).unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink("0", dir.path().join("link")).unwrap();
        let all = [dir.path().join("0"), dir.path().join("1"), dir.path().join(odd)];
        assert_eq!(expanded(dir.path().join("*")), all);
        let disks = [dir.path().join("0/disks"), dir.path().join(odd).join("disks")];
        assert_eq!(expanded(dir.path().join("*/disks")), disks);
        assert_eq!(expanded(dir.path().join("*/*")), disks);
        assert_eq!(expanded(dir.path().join("absent/*")), [] as [PathBuf; 0]);
        // Without a pattern nothing is looked at.
        assert_eq!(expanded("/no/such".into()), [PathBuf::from("/no/such")]);
        assert_eq!(DirectoryPattern::from(dir.path().join("a/*/b")).fixed_part(), dir.path().join("a"));
    }

    #[test]
    fn says_so_where_it_stands_for_too_many() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..=MOST_DIRECTORIES {
            fs::create_dir(dir.path().join(number.to_string())).unwrap();
        }
        let error = DirectoryPattern::from(dir.path().join("*")).expand().unwrap_err().to_string();
        assert!(error.contains("more than 10000"), "{error}");
    }
}
