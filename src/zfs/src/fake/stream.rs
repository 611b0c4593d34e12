//! The fake's send stream: a header with both GUIDs, the files that differ, a BLAKE3 of it all.

use super::tree::Tree;
use bootstash_base::names::{Guid, SnapshotName};
use std::path::PathBuf;
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"BSFAKE\0\x01";
const HASH_BYTES: usize = 32;

/// A stream's content.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) from: Option<Guid>,
    pub(super) to: Guid,
    pub(super) name: SnapshotName,
    /// `None` for a file that is gone.
    changes: Vec<(PathBuf, Option<Arc<Vec<u8>>>)>,
}

/// Why bytes are no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    Truncated,
    Corrupt,
}

impl Sent {
    /// What turns `old` into `new`.
    pub(super) fn between(from: Option<(Guid, &Tree)>, to: Guid, name: &SnapshotName, new: &Tree) -> Self {
        let empty = Tree::new();
        let (from, old) = from.map_or((None, &empty), |(guid, tree)| (Some(guid), tree));
        let gone = old.keys().filter(|path| !new.contains_key(*path)).map(|path| (path.clone(), None));
        let fresh = new
            .iter()
            .filter(|(path, content)| old.get(*path) != Some(*content))
            .map(|(path, content)| (path.clone(), Some(Arc::clone(content))));
        Self { from, to, name: name.clone(), changes: gone.chain(fresh).collect() }
    }

    /// The tree that results.
    pub(super) fn apply(self, old: &Tree) -> Tree {
        let mut tree = old.clone();
        for (path, content) in self.changes {
            match content {
                Some(content) => tree.insert(path, content),
                None => tree.remove(&path),
            };
        }
        tree
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.from.map_or(0, Guid::get).to_le_bytes());
        bytes.extend(self.to.get().to_le_bytes());
        put(&mut bytes, self.name.as_str().as_bytes());
        bytes.extend((self.changes.len() as u64).to_le_bytes());
        for (path, content) in &self.changes {
            put(&mut bytes, path.as_os_str().as_encoded_bytes());
            bytes.push(u8::from(content.is_some()));
            put(&mut bytes, content.as_ref().map_or(&[], |content| content.as_slice()));
        }
        let hash = blake3::hash(&bytes);
        bytes.extend(hash.as_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut rest = bytes;
        if take(&mut rest, MAGIC.len())? != MAGIC {
            return Err(Unreadable::Corrupt);
        }
        let (from, to) = (number(&mut rest)?, number(&mut rest)?);
        let name = text(&mut rest)?.parse().map_err(|_| Unreadable::Corrupt)?;
        let mut changes = Vec::new();
        for _ in 0..number(&mut rest)? {
            let path = PathBuf::from(text(&mut rest)?);
            let kept = take(&mut rest, 1)? == [1];
            let content = counted(&mut rest)?;
            changes.push((path, kept.then(|| Arc::new(content.to_vec()))));
        }
        let hashed = bytes.len() - rest.len();
        if take(&mut rest, HASH_BYTES)? != blake3::hash(&bytes[..hashed]).as_bytes() {
            return Err(Unreadable::Corrupt);
        }
        let from = (from != 0).then(|| Guid::new(from));
        Ok(Self { from, to: Guid::new(to), name, changes })
    }
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend((part.len() as u64).to_le_bytes());
    bytes.extend(part);
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Unreadable> {
    let (head, tail) = rest.split_at_checked(length).ok_or(Unreadable::Truncated)?;
    *rest = tail;
    Ok(head)
}

fn number(rest: &mut &[u8]) -> Result<u64, Unreadable> {
    let bytes = take(rest, 8)?.try_into().map_err(|_| Unreadable::Truncated)?;
    Ok(u64::from_le_bytes(bytes))
}

fn counted<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Unreadable> {
    let length = usize::try_from(number(rest)?).map_err(|_| Unreadable::Corrupt)?;
    take(rest, length)
}

fn text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, Unreadable> {
    std::str::from_utf8(counted(rest)?).map_err(|_| Unreadable::Corrupt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent() -> Sent {
        let new = Tree::from([(PathBuf::from("a/b"), Arc::new(vec![7; 5000]))]);
        let old = Tree::from([(PathBuf::from("gone"), Arc::new(vec![1]))]);
        let name = "bs-000002-20261121T101530Z".parse().unwrap();
        Sent::between(Some((Guid::new(1), &old)), Guid::new(2), &name, &new)
    }

    #[test]
    fn reads_back_what_it_writes() {
        assert_eq!(Sent::decode(&sent().encode()), Ok(sent()));
    }

    #[test]
    fn tells_short_from_wrong() {
        let bytes = sent().encode();
        for length in [0, 7, 30, 2000, bytes.len() - 1] {
            assert_eq!(Sent::decode(&bytes[..length]), Err(Unreadable::Truncated), "{length}");
        }
        for at in [0, 2000, bytes.len() - 1] {
            let mut wrong = bytes.clone();
            wrong[at] ^= 1;
            assert_eq!(Sent::decode(&wrong), Err(Unreadable::Corrupt), "{at}");
        }
    }
}
