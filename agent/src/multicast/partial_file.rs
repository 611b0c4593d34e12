//! The file that is received into: blocks come in any order.

use super::MulticastError;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that fills. It goes by another name until it is whole, or until what is left is to be fetched.
#[derive(Debug)]
pub(super) struct PartialFile {
    file: Arc<File>,
    part: PathBuf,
    path: PathBuf,
    bytes: u64,
    /// Where blocks are, and how long they are.
    have: BTreeMap<u64, u64>,
}

impl PartialFile {
    pub(super) fn create(path: &Path, bytes: u64) -> Result<Self, MulticastError> {
        let part = path.with_extension("heard");
        let file = File::create(&part).map_err(|source| MulticastError::Io { path: part.clone(), source })?;
        Ok(Self { file: Arc::new(file), part, path: path.to_owned(), bytes, have: BTreeMap::new() })
    }

    /// Writes a block; to be called on a thread that may block.
    pub(super) fn writer(&self) -> impl FnOnce(u64, &[u8]) -> io::Result<()> + Send + use<> {
        let file = Arc::clone(&self.file);
        move |offset, bytes| file.write_all_at(bytes, offset)
    }

    pub(super) fn note(&mut self, offset: u64, bytes: u64) {
        self.have.insert(offset, bytes);
    }

    /// It is whole.
    pub(super) fn finish(&self) -> Result<(), MulticastError> {
        std::fs::rename(&self.part, &self.path).map_err(|error| self.failed(error))
    }

    /// Keeps what is there from the beginning on: fetching goes on after it.
    pub(super) fn keep_prefix(self) -> Result<(), MulticastError> {
        let there = prefix_bytes(&self.have).min(self.bytes);
        let kept = self.file.set_len(there).and_then(|()| std::fs::rename(&self.part, &self.path));
        kept.map_err(|error| self.failed(error))
    }

    pub(super) fn failed(&self, source: io::Error) -> MulticastError {
        MulticastError::Io { path: self.part.clone(), source }
    }
}

/// How far it goes without a hole.
fn prefix_bytes(have: &BTreeMap<u64, u64>) -> u64 {
    have.iter().fold(0, |end, (offset, bytes)| if *offset == end { end + bytes } else { end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_has_no_hole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("delta");
        let mut file = PartialFile::create(&path, 9).unwrap();
        for (offset, bytes) in [(6, b"ghi"), (0, b"abc")] {
            file.writer()(offset, bytes).unwrap();
            file.note(offset, 3);
        }
        assert!(!path.exists());
        file.keep_prefix().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abc");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
