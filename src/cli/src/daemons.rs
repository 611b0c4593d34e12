//! Which daemons this host has, and how to reach them; and a registrar on another machine that was joined.

use super::failure::CommandError;
use bootstash_base::error::Chain;
use bootstash_daemon::config::{AGENT_SOCKET, REGISTRAR_SOCKET};
use bootstash_net::api::{Client, Dialer, Endpoint};
use bootstash_net::enrolment;
use bootstash_net::identity::{CredentialStore, Credentials, ExpectedPeer, Identity, Joined};
use chrono::{DateTime, Utc};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// In place of `--registrar-socket`.
pub(super) const REGISTRAR_SOCKET_VARIABLE: &str = "BOOTSTASH_REGISTRAR_SOCKET";
/// In place of `--agent-socket`.
pub(super) const AGENT_SOCKET_VARIABLE: &str = "BOOTSTASH_AGENT_SOCKET";
/// In place of `--identity`.
pub(super) const IDENTITY_VARIABLE: &str = "BOOTSTASH_IDENTITY";

/// The sockets of this host's daemons, which may or may not be there.
#[derive(Debug)]
pub(super) struct Daemons {
    registrar: PathBuf,
    agent: PathBuf,
    identity: Option<PathBuf>,
}

/// Where `join` puts key and certificate, where nothing else is said.
pub(super) fn identity_of_the_user() -> Option<PathBuf> {
    let config = std::env::var_os("XDG_CONFIG_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
    config.or_else(home).map(|dir| dir.join("bootstash"))
}

/// What renewing did.
#[derive(Debug)]
pub(super) struct Renewal {
    pub(super) identity: Identity,
    pub(super) expires: DateTime<Utc>,
    pub(super) renewed: bool,
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
    pub(super) fn new(registrar: PathBuf, agent: PathBuf, identity: Option<PathBuf>) -> Self {
        Self { registrar, agent, identity }
    }

    /// Those that are meant where no option says otherwise.
    pub(super) fn of_the_environment() -> Self {
        let path = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
        Self {
            registrar: path(REGISTRAR_SOCKET_VARIABLE).unwrap_or_else(|| REGISTRAR_SOCKET.into()),
            agent: path(AGENT_SOCKET_VARIABLE).unwrap_or_else(|| AGENT_SOCKET.into()),
            identity: path(IDENTITY_VARIABLE).or_else(identity_of_the_user),
        }
    }

    /// Where key and certificate for another machine's registrar are, or are to be.
    pub(super) fn identity(&self) -> Result<&Path, CommandError> {
        self.identity.as_deref().ok_or(CommandError::NoHome)
    }

    /// Renews the certificate for another machine's registrar, where that is due. Tells who it is, until
    /// when it counts, and whether it is a new one; nothing where nobody was joined.
    pub(super) async fn renew(&self) -> Result<Option<Renewal>, CommandError> {
        let Some((store, client)) = self.joined()? else { return Ok(None) };
        let due = store.now().is_due();
        if due {
            enrolment::renew(self.identity()?, &store, &client).await?;
        }
        let now = store.now();
        Ok(Some(Renewal { identity: now.identity().clone(), expires: now.expires(), renewed: due }))
    }

    /// The same beside something else, which goes on without.
    pub(super) async fn renew_in_passing(&self) -> Result<(), CommandError> {
        // What is wrong with it is said where it is needed.
        let Ok(Some((store, client))) = self.joined() else { return Ok(()) };
        if !store.now().is_due() {
            return Ok(());
        }
        if let Err(error) = enrolment::renew(self.identity()?, &store, &client).await {
            eprintln!(
                "warning: the certificate ends on {}: {}",
                store.now().expires().date_naive(),
                Chain(&error)
            );
        }
        Ok(())
    }

    /// The registrar on another machine, where one was joined.
    fn joined(&self) -> Result<Option<(CredentialStore, Client)>, CommandError> {
        let Some(dir) = &self.identity else { return Ok(None) };
        let Some(joined) = Joined::load(dir)? else { return Ok(None) };
        let store = CredentialStore::new(Credentials::load(dir)?);
        let expected = ExpectedPeer::Exactly(Identity::Registrar);
        let client = Dialer::new(store.clone()).client(&joined.registrar, expected)?;
        Ok(Some((store, client)))
    }

    /// Where a daemon of this host listens.
    pub(super) fn socket(&self, daemon: Daemon) -> &Path {
        match daemon {
            Daemon::Registrar => &self.registrar,
            Daemon::Agent => &self.agent,
        }
    }

    /// A client of `daemon`, which the verb cannot do without.
    pub(super) fn need(&self, daemon: Daemon) -> Result<Client, CommandError> {
        let elsewhere = || match daemon {
            Daemon::Registrar => self.joined(),
            Daemon::Agent => Ok(None),
        };
        if let Some(client) = self.find(daemon)? {
            return Ok(client);
        }
        let none = || CommandError::NoDaemon { daemon, socket: self.socket(daemon).to_owned() };
        elsewhere()?.map(|(_, client)| client).ok_or_else(none)
    }

    /// A client of `daemon`, where one listens on its socket.
    fn find(&self, daemon: Daemon) -> Result<Option<Client>, CommandError> {
        let socket = self.socket(daemon);
        if !may_listen(socket) {
            return Ok(None);
        }
        Ok(Some(Client::new(Endpoint::Unix(socket.to_owned()))?))
    }

    /// All that this host has, the registrar first; where it has none, that which was joined.
    pub(super) fn all(&self) -> Result<Vec<(Daemon, Client)>, CommandError> {
        let mut found = Vec::new();
        for daemon in [Daemon::Registrar, Daemon::Agent] {
            found.extend(self.find(daemon)?.map(|client| (daemon, client)));
        }
        if found.is_empty() {
            if let Some((_, client)) = self.joined()? {
                return Ok(vec![(Daemon::Registrar, client)]);
            }
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

/// False only where surely nobody listens: at no path, or at a socket that a killed daemon left. A directory that may
/// not be searched hides a daemon, and the call then tells that.
fn may_listen(socket: &Path) -> bool {
    match connect(socket) {
        Ok(()) => true,
        Err(error) => !matches!(
            error.kind(),
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::ConnectionRefused
        ),
    }
}

/// Does not wait: a daemon that is too busy to take another caller is one that is there.
fn connect(socket: &Path) -> io::Result<()> {
    let caller = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    caller.connect(&SockAddr::unix(socket)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn asks_whichever_is_there_and_says_where_it_looked() {
        let dir = tempfile::tempdir().unwrap();
        let (registrar, agent) = (dir.path().join("r.sock"), dir.path().join("a.sock"));
        let daemons = Daemons::new(registrar.clone(), agent.clone(), None);
        let error = daemons.all().unwrap_err().to_string();
        assert!(error.contains(registrar.to_str().unwrap()), "{error}");
        assert!(error.contains(agent.to_str().unwrap()), "{error}");
        let listener = UnixListener::bind(&agent).unwrap();
        let found: Vec<Daemon> = daemons.all().unwrap().into_iter().map(|(daemon, _)| daemon).collect();
        assert_eq!(found, [Daemon::Agent]);
        drop(listener);
        let left_by_one_that_was_killed = daemons.all();
        assert!(matches!(left_by_one_that_was_killed, Err(CommandError::NoDaemons { .. })));
        let error = daemons.need(Daemon::Registrar).unwrap_err().to_string();
        assert!(error.contains("no registrar") && error.contains("r.sock"), "{error}");
    }
}
