//! A registrar with its real TLS port, over a ZFS in memory, and nodes of it: who is authorized to do what.

mod node;

pub use node::Node;

use crate::address::free_address;
use crate::enrolment::{LIFETIME, dir_of, init};
use crate::replication::SyntheticCapturer;
use anyhow::{Context, Result, bail, ensure};
use bootstash_daemon::config::RegistrarConfig;
use bootstash_net::api::*;
use bootstash_net::enrolment;
use bootstash_net::enrolment::Joining;
use bootstash_net::identity::{Authority, CredentialStore, Credentials, ExpectedPeer, Identity, KeyRequest};
use bootstash_zfs::fake::FakeZfs;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// What does not happen by then does not happen.
pub const LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// A registrar that runs, and the keys of those who join it.
pub struct TestRegistrar {
    dir: TempDir,
    listen: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<()>>,
}

impl TestRegistrar {
    /// Starts the registrar, and waits until it answers.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn open() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let listen = free_address()?;
        let (stop, state) = (CancellationToken::new(), dir.path().join("registrar"));
        init(&state)?;
        let config = RegistrarConfig {
            dataset: "tank/bootstash".parse()?,
            state_dir: state,
            socket: dir.path().join("s"),
            socket_group: bootstash_base::names::GroupName::root(),
            listen,
            certificate_lifetime: LIFETIME,
            window: Duration::from_secs(3600),
            snapshots_max: std::num::NonZeroUsize::MAX,
            capture: Default::default(),
            serving: Default::default(),
            multicast: Default::default(),
        };
        let zfs = Arc::new(FakeZfs::seeded(1));
        let run = bootstash_registrar::daemon::run(
            config,
            zfs,
            Arc::new(SyntheticCapturer::default()),
            stop.clone(),
        );
        let registrar = Self { dir, listen, stop, task: tokio::spawn(run) };
        registrar
            .until("the registrar answers", async || {
                registrar
                    .local()?
                    .get(routes::NODES, &())
                    .await
                    .map_err(Into::into)
                    .map(|_: Vec<NodeView>| ())
            })
            .await?;
        Ok(registrar)
    }

    /// Shuts the registrar down.
    ///
    /// # Errors
    /// When it does not end well.
    pub async fn close(self) -> Result<()> {
        self.stop.cancel();
        timeout(LIMIT, self.task).await??
    }

    /// Waits until something succeeds.
    ///
    /// # Errors
    /// The last one, when it does not.
    pub async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Result<T>) -> Result<T> {
        let deadline = tokio::time::Instant::now() + LIMIT;
        loop {
            match look().await {
                Ok(found) => return Ok(found),
                Err(error) if tokio::time::Instant::now() > deadline => {
                    return Err(error.context(what.to_owned()));
                }
                Err(_) => sleep(POLL).await,
            }
        }
    }

    /// Where it listens.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// The same, as others write it.
    pub fn url(&self) -> String {
        format!("https://{}", self.listen)
    }

    /// The directory of somebody's key.
    pub fn keys(&self, name: &str) -> PathBuf {
        dir_of(&self.dir.path().join(name))
    }

    /// A client on the socket.
    ///
    /// # Errors
    /// When there is none.
    pub fn local(&self) -> Result<Client> {
        Ok(Client::new(Endpoint::Unix(self.dir.path().join("s")))?)
    }

    /// A token for `identity`, as `node:c1`.
    ///
    /// # Errors
    /// When there is none to be had.
    pub async fn invite(&self, identity: &str, lifetime_seconds: u64) -> Result<String> {
        let request = InviteRequest { identity: identity.parse()?, lifetime_seconds: Some(lifetime_seconds) };
        let reply: InviteReply = self.local()?.post(routes::INVITATIONS, &request).await?;
        Ok(reply.token.reveal().to_owned())
    }

    /// Joins as a node with a token; the key lies in the directory of `name`.
    ///
    /// # Errors
    /// When that is refused.
    pub async fn join(&self, name: &str, token: &str) -> Result<Joining> {
        self.join_by(Joiner::Agent, name, token).await
    }

    /// The same with either program.
    ///
    /// # Errors
    /// When that is refused.
    pub async fn join_by(&self, by: Joiner, name: &str, token: &str) -> Result<Joining> {
        Ok(enrolment::join(&self.keys(name), &self.url(), &token.parse()?, by).await?)
    }

    /// A client of one who was invited and joined.
    ///
    /// # Errors
    /// When the invitation or joining fails.
    pub async fn member(&self, identity: &str) -> Result<Client> {
        let token = self.invite(identity, 600).await?;
        self.join_by(Joiner::of(&identity.parse()?), identity, &token).await?;
        self.client(&self.keys(identity))
    }

    /// A client with the key in `dir`.
    ///
    /// # Errors
    /// When there is none.
    pub fn client(&self, dir: &Path) -> Result<Client> {
        self.client_of(dir, &self.url(), ExpectedPeer::Exactly(Identity::Registrar))
    }

    /// The same of who is `wanted` elsewhere.
    ///
    /// # Errors
    /// When there is none.
    pub fn client_of(&self, dir: &Path, url: &str, expected: ExpectedPeer) -> Result<Client> {
        Ok(Dialer::new(CredentialStore::new(Credentials::load(dir)?)).client(url, expected)?)
    }

    /// A certificate by this registrar's authority, past all its rules, in the directory of `name`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn certify(&self, name: &str, identity: &str, lifetime: Duration) -> Result<PathBuf> {
        let authority = Authority::load(&self.keys("registrar"))?;
        certify(&authority, &self.keys(name), identity, lifetime)
    }

    /// A certificate for the same by somebody else's authority, which says it is ours.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn counterfeit(&self, name: &str, identity: &str) -> Result<PathBuf> {
        let (other, dir) = (tempfile::tempdir()?, self.keys(name));
        let (authority, _) = Authority::create(other.path())?;
        certify(&authority, &dir, identity, LIFETIME)?;
        // So that our own side does not refuse the registrar before it can refuse us.
        let ours = Authority::load(&self.keys("registrar"))?;
        let path = dir.join("identity.pem");
        let genuine = std::fs::read_to_string(&path)?;
        let forged = genuine.replace(authority.certificate_pem(), ours.certificate_pem());
        ensure!(forged != genuine, "the authority's certificate is not in {}", path.display());
        std::fs::write(&path, forged)?;
        Ok(dir)
    }
}

fn certify(authority: &Authority, dir: &Path, identity: &str, lifetime: Duration) -> Result<PathBuf> {
    let request = KeyRequest::new()?;
    let issued = authority.issue(&identity.parse()?, request.request_pem(), lifetime)?;
    Credentials::store(dir, &request, &issued.certificate_pem, authority.certificate_pem())?;
    Ok(dir.to_owned())
}

/// The HTTP status of a refusal.
///
/// # Errors
/// When it was none.
pub fn status<T>(answer: Result<T, CallError>) -> Result<u16> {
    match answer {
        Err(CallError::Refused { status, .. }) => Ok(status),
        Err(other) => Err(other).context("no answer of HTTP"),
        Ok(_) => bail!("it was not refused"),
    }
}

/// That one who comes with a certificate that does not count any more is told so, and nothing else.
///
/// # Errors
/// When it was let in, or told something else.
pub fn turned_away<T: Debug>(answer: Result<T, CallError>) -> Result<()> {
    let told = matches!(answer, Err(CallError::Expelled { .. }));
    ensure!(told, "it was not told that it was expelled: {answer:?}");
    Ok(())
}

/// That a connection was not even made, or was cut.
///
/// # Errors
/// When the connection was made and answered.
pub fn cut_off<T: Debug>(answer: Result<T, CallError>) -> Result<()> {
    let cut = matches!(answer, Err(CallError::Unreachable { .. } | CallError::CertificateEnded { .. }));
    ensure!(cut, "it was let in: {answer:?}");
    Ok(())
}
