//! What a snapshot of the fake holds: the bytes of each file below it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

/// Relative path to content. Folders are those that the paths name.
pub(super) type Tree = BTreeMap<PathBuf, Arc<Vec<u8>>>;

/// Reads what lies in a folder; one that does not exist is empty.
pub(super) fn read(root: &Path) -> io::Result<Tree> {
    let mut tree = Tree::new();
    if root.exists() {
        walk(root, Path::new(""), &mut tree)?;
    }
    Ok(tree)
}

fn walk(root: &Path, below: &Path, tree: &mut Tree) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            walk(root, &path, tree)?;
        } else {
            tree.insert(path, Arc::new(fs::read(entry.path())?));
        }
    }
    Ok(())
}

/// Makes a folder hold just this tree.
pub(super) fn write(root: &Path, tree: &Tree) -> io::Result<()> {
    clear(root)?;
    fs::create_dir_all(root)?;
    for (path, content) in tree {
        let path = root.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, content.as_slice())?;
    }
    Ok(())
}

/// Writes it with no permission to write left on files.
pub(super) fn write_read_only(root: &Path, tree: &Tree) -> io::Result<()> {
    write(root, tree)?;
    for path in tree.keys() {
        let path = root.join(path);
        let mut permissions = fs::metadata(&path)?.permissions();
        permissions.set_readonly(true);
        fs::set_permissions(path, permissions)?;
    }
    Ok(())
}

/// Empties a folder, and leaves it there as a mount point is left.
pub(super) fn clear(root: &Path) -> io::Result<()> {
    if !root.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// Bytes of all files.
pub(super) fn size(tree: &Tree) -> u64 {
    tree.values().map(|content| content.len() as u64).sum()
}
