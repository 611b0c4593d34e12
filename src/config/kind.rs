//! Telling whose configuration a file is, by the keys that only one of the daemons has.

/// Whose configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ConfigKind {
    /// The registrar's.
    Registrar,
    /// An agent's.
    Agent,
}

const REGISTRAR_ONLY: [&str; 4] = ["listen", "allow_unauthenticated", "capture", "serving"];
const AGENT_ONLY: [&str; 5] = ["registrar", "node", "views_dir", "metrics_listen", "peers"];

impl ConfigKind {
    /// The kind that more of the keys speak for. Where they say nothing it is a registrar's: an
    /// agent's has a key that cannot be left out and is the agent's alone.
    pub(super) fn of(table: &toml::Table) -> Self {
        let count = |keys: &[&str]| keys.iter().filter(|key| table.contains_key(**key)).count();
        if count(&AGENT_ONLY) > count(&REGISTRAR_ONLY) { Self::Agent } else { Self::Registrar }
    }
}
