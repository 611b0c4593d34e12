//! Reading a configuration file, with errors that name the file, the line and the remedy.

use super::{AgentConfig, ConfigKind, RegistrarConfig, check};
use bootstash_base::error::Classified;
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
#[derive(Debug, thiserror::Error, Classified)]
#[class(operator)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The configuration file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no TOML, has an unknown key, or a value of the wrong kind.
    #[error("{}{} is not valid", .path.display(), .line.map(|line| format!(", line {line},")).unwrap_or_default())]
    Parse {
        /// The configuration file.
        path: PathBuf,
        /// The line, from 1, where one is to blame.
        line: Option<usize>,
        /// What the parser said.
        source: ParseProblem,
    },
    /// Each key is right, the whole is not.
    #[error("{}: {problem}", .path.display())]
    Invalid {
        /// The configuration file.
        path: PathBuf,
        /// What to change.
        problem: String,
    },
}

/// What the parser said, on one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseProblem(String);

/// Reads and checks the registrar's configuration.
///
/// # Errors
/// See [`ConfigError`].
pub fn load_registrar(path: &Path) -> Result<RegistrarConfig, ConfigError> {
    parse_registrar(path, &read(path)?)
}

/// Reads and checks an agent's configuration.
///
/// # Errors
/// See [`ConfigError`].
pub fn load_agent(path: &Path) -> Result<AgentConfig, ConfigError> {
    parse_agent(path, &read(path)?)
}

/// Reads and checks a configuration of either daemon: that of `kind`, or the one its keys tell.
///
/// # Errors
/// See [`ConfigError`].
pub fn load_any(path: &Path, kind: Option<ConfigKind>) -> Result<ConfigFile, ConfigError> {
    let text = read(path)?;
    let kind = match kind {
        Some(kind) => kind,
        None => ConfigKind::of(path, &parse(path, &text)?),
    };
    match kind {
        ConfigKind::Registrar => parse_registrar(path, &text).map(ConfigFile::Registrar),
        ConfigKind::Agent => parse_agent(path, &text).map(ConfigFile::Agent),
    }
}

fn parse_registrar(path: &Path, text: &str) -> Result<RegistrarConfig, ConfigError> {
    let config = parse(path, text)?;
    check::registrar(&config).map_err(|problem| invalid(path, problem))?;
    Ok(config)
}

fn parse_agent(path: &Path, text: &str) -> Result<AgentConfig, ConfigError> {
    let config: AgentConfig = parse(path, text)?;
    check::agent(&config).map_err(|problem| invalid(path, problem))?;
    Ok(config)
}

fn invalid(path: &Path, problem: String) -> ConfigError {
    ConfigError::Invalid { path: path.to_owned(), problem: printable(&problem) }
}

/// A refusal quotes what is in the file, and is to be one line on a terminal and in a log.
fn printable(problem: &str) -> String {
    problem.replace('\n', ", ").replace(char::is_control, "\u{fffd}")
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::Parse {
        path: path.to_owned(),
        line: error.span().filter(|span| *span != (0..text.len())).and_then(|span| line_of(text, span.start)),
        source: ParseProblem(printable(error.message())),
    })
}

fn line_of(text: &str, offset: usize) -> Option<usize> {
    text.get(..offset).map(|before| before.matches('\n').count() + 1)
}
