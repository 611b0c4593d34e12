//! Finding our own programs: they lie where this one was built.

use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// What a lab runs of ours.
const OURS: [&str; 4] = ["bootstash", "bootstash-registrar", "bootstash-agent", "lab"];

/// Our own program by its path; any other by its name, for `PATH` to find.
pub fn path(program: &str) -> PathBuf {
    if OURS.contains(&program) { build_dir().join(program) } else { program.into() }
}

/// Says early, and in full, which of our programs were not built.
///
/// # Errors
/// When one is missing.
pub fn check_built() -> Result<()> {
    let missing: Vec<_> = OURS.iter().filter(|program| !path(program).exists()).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!("{} not built in {}; run `make build`", missing.join(", "), build_dir().display());
}

/// Where cargo puts programs: tests themselves lie in `deps` below it.
fn build_dir() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let dir = own.parent().unwrap_or(Path::new("."));
    if dir.ends_with("deps") { dir.parent().unwrap_or(dir).to_owned() } else { dir.to_owned() }
}
