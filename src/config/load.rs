//! Reading a configuration file, with errors that name the file, the line and the remedy.

use super::{AgentConfig, RegistrarConfig};
use crate::fault::{Fault, FaultKind};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// A configuration of either daemon.
#[derive(Clone, Debug, PartialEq)]
pub enum ConfigFile {
    /// The registrar's.
    Registrar(RegistrarConfig),
    /// An agent's.
    Agent(AgentConfig),
}

/// A configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no TOML, has an unknown key, or a value of the wrong kind.
    #[error("{} is not a valid configuration", .path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: toml::de::Error,
    },
    /// Each key is right, the whole is not.
    #[error("{}: {problem}", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What to change.
        problem: String,
    },
}

impl Fault for ConfigError {
    fn kind(&self) -> FaultKind {
        FaultKind::Operator
    }
}

/// Reads and checks the registrar's configuration.
///
/// # Errors
/// See [`ConfigError`].
pub fn load_registrar(path: &Path) -> Result<RegistrarConfig, ConfigError> {
    read(path)
}

/// Reads and checks an agent's configuration.
///
/// # Errors
/// See [`ConfigError`].
pub fn load_agent(path: &Path) -> Result<AgentConfig, ConfigError> {
    read(path)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    toml::from_str(&text).map_err(|source| ConfigError::Parse { path: path.to_owned(), source })
}
