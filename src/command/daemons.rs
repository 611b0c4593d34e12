//! Which daemons this host has, and how to reach them.

use super::failure::CommandError;
use bootstash::api::{Client, Endpoint};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The sockets of this host's daemons, which may or may not be there.
#[derive(Debug)]
pub(super) struct Daemons {
    registrar: PathBuf,
    agent: PathBuf,
}

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Daemon {
    /// The storage node's.
    Registrar,
    /// The compute node's.
    Agent,
}

impl Daemon {
    /// As a person calls it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Registrar => "registrar",
            Self::Agent => "agent",
        }
    }
}

impl Daemons {
    /// Those that listen at these paths.
    pub(super) fn new(registrar: PathBuf, agent: PathBuf) -> Self {
        Self { registrar, agent }
    }

    fn socket(&self, daemon: Daemon) -> &Path {
        match daemon {
            Daemon::Registrar => &self.registrar,
            Daemon::Agent => &self.agent,
        }
    }

    /// A client of `daemon`, which the verb cannot do without.
    pub(super) fn need(&self, daemon: Daemon) -> Result<Client, CommandError> {
        match self.find(daemon)? {
            Some(client) => Ok(client),
            None => Err(CommandError::NoDaemon { daemon, socket: self.socket(daemon).to_owned() }),
        }
    }

    /// A client of `daemon`, where it has a socket.
    fn find(&self, daemon: Daemon) -> Result<Option<Client>, CommandError> {
        let socket = self.socket(daemon);
        if !may_exist(socket) {
            return Ok(None);
        }
        Ok(Some(Client::new(Endpoint::Unix(socket.to_owned()))?))
    }

    /// All that this host has, the registrar first; an error where it has none.
    pub(super) fn all(&self) -> Result<Vec<(Daemon, Client)>, CommandError> {
        let mut found = Vec::new();
        for daemon in [Daemon::Registrar, Daemon::Agent] {
            found.extend(self.find(daemon)?.map(|client| (daemon, client)));
        }
        if found.is_empty() {
            return Err(CommandError::NoDaemons {
                registrar: self.registrar.clone(),
                agent: self.agent.clone(),
            });
        }
        Ok(found)
    }

    /// The registrar where this host has one, else the agent.
    pub(super) fn first(&self) -> Result<(Daemon, Client), CommandError> {
        let mut all = self.all()?;
        Ok(all.swap_remove(0))
    }
}

/// False only where the path is surely absent: a directory that may not be searched hides a
/// daemon, and the call then tells that.
fn may_exist(socket: &Path) -> bool {
    match socket.symlink_metadata() {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_whichever_is_there_and_says_where_it_looked() {
        let dir = tempfile::tempdir().unwrap();
        let (registrar, agent) = (dir.path().join("r.sock"), dir.path().join("a.sock"));
        let daemons = Daemons::new(registrar.clone(), agent.clone());
        let error = daemons.all().unwrap_err().to_string();
        assert!(error.contains(registrar.to_str().unwrap()), "{error}");
        assert!(error.contains(agent.to_str().unwrap()), "{error}");
        std::fs::write(&agent, "").unwrap();
        let found: Vec<Daemon> = daemons.all().unwrap().into_iter().map(|(daemon, _)| daemon).collect();
        assert_eq!(found, [Daemon::Agent]);
        let error = daemons.need(Daemon::Registrar).unwrap_err().to_string();
        assert!(error.contains("no registrar") && error.contains("r.sock"), "{error}");
    }
}
