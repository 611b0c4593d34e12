//! Telling whose configuration a file is, by the keys that only one of the daemons has.

/// Whose configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ConfigKind {
    /// The registrar's.
    Registrar,
    /// An agent's.
    Agent,
}

use std::cmp::Ordering;
use std::path::Path;

const REGISTRAR_ONLY: [&str; 4] = ["listen", "certificate_lifetime", "capture", "serving"];
const AGENT_ONLY: [&str; 5] = ["registrar", "node", "views_dir", "metrics_listen", "peers"];

impl ConfigKind {
    /// The kind that more of the keys speak for; where they say nothing, what the file is called after.
    pub(super) fn of(path: &Path, table: &toml::Table) -> Self {
        let count = |keys: &[&str]| keys.iter().filter(|key| table.contains_key(**key)).count();
        let named = path.file_name().is_some_and(|name| name.to_string_lossy().contains("agent"));
        match count(&AGENT_ONLY).cmp(&count(&REGISTRAR_ONLY)) {
            Ordering::Greater => Self::Agent,
            Ordering::Equal if named => Self::Agent,
            _ => Self::Registrar,
        }
    }
}
