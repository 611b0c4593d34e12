//! Members for tests that start daemons by themselves: made with the authority's own key, so that no
//! registrar has to run for it.

use anyhow::Result;
use bootstash_net::api::{Client, Dialer};
use bootstash_net::identity::{Authority, CredentialStore, Credentials, ExpectedPeer, Identity, KeyRequest};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Long enough for any test.
pub(crate) const LIFETIME: Duration = Duration::from_secs(86400);

/// Where a daemon with this state directory has its identity.
pub(crate) fn dir_of(state_dir: &Path) -> PathBuf {
    state_dir.join("identity")
}

/// Makes the authority of a registrar with this state directory; changes nothing where it has one.
pub(crate) fn init(registrar: &Path) -> Result<()> {
    bootstash_registrar::ca::init(&dir_of(registrar), LIFETIME)?;
    Ok(())
}

/// Makes a node with this state directory a member of the registrar with that one, where it is none yet.
pub(crate) fn enrol(registrar: &Path, node: &Path, name: &str) -> Result<()> {
    let (authority, dir) = (Authority::load(&dir_of(registrar))?, dir_of(node));
    if let Ok(there) = Credentials::load(&dir)
        && there.authority() == authority.certificate()
    {
        return Ok(());
    }
    let (request, identity) = (KeyRequest::new()?, Identity::Node(name.parse()?));
    let issued = authority.issue(&identity, request.request_pem(), LIFETIME)?;
    Ok(Credentials::store(&dir, &request, &issued.certificate_pem, authority.certificate_pem())?)
}

/// What the one with this state directory is a member with.
pub(crate) fn store(state_dir: &Path) -> Result<CredentialStore> {
    Ok(CredentialStore::new(Credentials::load(&dir_of(state_dir))?))
}

/// Calls the registrar at `url` as the one with this state directory does.
pub(crate) fn client(state_dir: &Path, url: &str) -> Result<Client> {
    Ok(Dialer::new(store(state_dir)?).client(url, ExpectedPeer::Exactly(Identity::Registrar))?)
}
