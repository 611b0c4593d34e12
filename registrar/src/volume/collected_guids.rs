//! The GUIDs of snapshots that were collected: a node that still has one was away for long, and is no
//! stranger.
//!
//! Promises: noted before the snapshot goes; the newest [`KEPT`] are remembered.

use bootstash_base::files::replace_file;
use bootstash_base::names::Guid;
use std::io;
use std::path::Path;

/// At a snapshot a day more than a year.
const KEPT: usize = 512;

/// Those noted in `file`, oldest first. Blocking, short.
pub(super) fn load(file: &Path) -> io::Result<Vec<Guid>> {
    match std::fs::read(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => Ok(serde_json::from_slice(&read?)?),
    }
}

/// Those of before and these, as they are noted in `path` now. Blocking, short.
pub(super) fn note(path: &Path, mut before: Vec<Guid>, these: &[Guid]) -> io::Result<Vec<Guid>> {
    before.retain(|guid| !these.contains(guid));
    before.extend(these);
    before.drain(..before.len().saturating_sub(KEPT));
    replace_file(path, &serde_json::to_vec(&before)?)?;
    Ok(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("collected.json");
        assert_eq!(load(&file).unwrap(), []);
        let guids: Vec<Guid> = (1..=600).map(Guid::new).collect();
        let noted = note(&file, Vec::new(), &guids[..300]).unwrap();
        let noted = note(&file, noted, &guids[200..]).unwrap();
        assert_eq!(noted, guids[600 - KEPT..]);
        assert_eq!(load(&file).unwrap(), noted);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
