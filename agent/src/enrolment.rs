//! Which registrar this node belongs to, and as whom.
//!
//! Promises: a node follows the registrar it joined under the name it was invited by; who was expelled is
//! known to it as soon as the registrar says so, and still after a restart.

use bootstash_base::error::Classified;
use bootstash_base::files::replace_file;
use bootstash_base::names::NodeName;
use bootstash_daemon::config::AgentConfig;
use bootstash_net::api::{CallError, Client, Dialer};
use bootstash_net::identity::{
    CredentialStore, Credentials, ExpectedPeer, Identity, IdentityError, Joined, Serial,
};
use bootstash_net::server::RevocationList;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What this node is a member with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The name it was invited by.
    pub node: NodeName,
    /// Where its registrar is.
    pub registrar: String,
    /// Key and certificate.
    pub store: CredentialStore,
    /// Certificates that do not count any more.
    pub revocations: Revocations,
    dir: PathBuf,
}

/// This node belongs to no registrar, or to another.
#[derive(Debug, thiserror::Error, Classified)]
#[class(operator)]
pub enum MembershipError {
    /// It never joined one.
    #[error(
        "this node has joined no registrar; run `bootstash node invite NAME` there, and `bootstash-agent join URL TOKEN` here"
    )]
    None(#[source] IdentityError),
    /// It joined as somebody else.
    #[error(
        "this node joined as {joined}, and is to be {expected} by its configuration; correct its key node, or join anew"
    )]
    Other {
        /// As what.
        joined: Identity,
        /// As what it is to be.
        expected: String,
    },
    /// Nobody knows where the registrar is.
    #[error("nothing says where the registrar is; set registrar = \"https://HOST:7430\"")]
    Nowhere,
    /// Key or certificate.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

const EXPELLED_FILE: &str = "expelled.json";
/// How long a disk that hangs may keep a revocation from counting.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

impl Membership {
    /// Reads it. Blocking, short.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub fn load(config: &AgentConfig) -> Result<Self, MembershipError> {
        let dir = config.identity_dir();
        let credentials = match Credentials::load(&dir) {
            Err(missing @ IdentityError::Missing { .. }) => return Err(MembershipError::None(missing)),
            loaded => loaded?,
        };
        let node = node_of(credentials.identity(), config)?;
        let registrar = match &config.registrar {
            Some(registrar) => registrar.trim_end_matches('/').to_owned(),
            None => Joined::load(&dir)?.ok_or(MembershipError::Nowhere)?.registrar,
        };
        let revocations = Revocations::load(&dir);
        Ok(Self { node, registrar, store: CredentialStore::new(credentials), revocations, dir })
    }

    /// Calls as this node.
    pub fn dialer(&self) -> Dialer {
        Dialer::new(self.store.clone())
    }

    /// A client of the registrar.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up at all.
    pub fn registrar(&self, silence: Duration) -> Result<Client, CallError> {
        self.dialer().client_with_read_timeout(
            &self.registrar,
            ExpectedPeer::Exactly(Identity::Registrar),
            silence,
        )
    }

    /// Stays a member: renews the certificate in time. Dropped, it ends.
    pub async fn keep(self, registrar: Client) {
        bootstash_net::enrolment::keep(self.dir, self.store, registrar).await;
    }
}

/// The certificates that the registrar revoked, as this node knows them: in a file, so that they stay revoked over a
/// restart while the registrar cannot be reached. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Revocations {
    list: RevocationList,
    file: PathBuf,
}

impl Revocations {
    /// As they were when this node last heard of them. Blocking, short.
    pub fn load(dir: &Path) -> Self {
        let file = dir.join(EXPELLED_FILE);
        let list = RevocationList::default();
        list.expel(expelled_before(&file));
        Self { list, file }
    }

    /// Those in force.
    pub fn list(&self) -> &RevocationList {
        &self.list
    }

    /// From now on these count, as the registrar says. They are on disk before anybody sees that they count, so that a
    /// restart at any moment forgets nothing; a disk that hangs does not keep them from counting.
    pub async fn replace(&self, serials: BTreeSet<Serial>) {
        if self.list.expelled() == serials {
            return;
        }
        let (file, written) = (self.file.clone(), serials.clone());
        let writing = tokio::task::spawn_blocking(move || write(&file, &written));
        if tokio::time::timeout(WRITE_LIMIT, writing).await.is_err() {
            tracing::warn!(file = %self.file.display(), "the disk does not answer; who was expelled may be forgotten in a restart");
        }
        self.list.expel(serials);
    }
}

/// What cannot be written, the registrar says again after a restart.
fn write(file: &Path, serials: &BTreeSet<Serial>) {
    let text = serde_json::to_vec(serials).map_err(std::io::Error::from);
    if let Err(error) = text.and_then(|text| replace_file(file, &text)) {
        tracing::warn!(%error, "cannot write down who was expelled; the registrar says it again after a restart");
    }
}

fn node_of(identity: &Identity, config: &AgentConfig) -> Result<NodeName, MembershipError> {
    let other = |expected: String| MembershipError::Other { joined: identity.clone(), expected };
    match (identity, &config.node) {
        (Identity::Node(node), None) => Ok(node.clone()),
        (Identity::Node(node), Some(expected)) if node == expected => Ok(node.clone()),
        (_, Some(expected)) => Err(other(format!("node {expected}"))),
        (_, None) => Err(other("a node".to_owned())),
    }
}

/// What cannot be read is heard again from the registrar.
fn expelled_before(path: &Path) -> BTreeSet<Serial> {
    std::fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}
