//! A new certificate before the old one ends.

use super::RenewError;
use crate::api::{CertificateReply, Client, RenewRequest, routes};
use crate::identity::{CredentialStore, Credentials, KeyRequest};
use bootstash_base::backoff::Backoff;
use bootstash_base::error::Chain;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::sleep;

/// Often enough for the shortest lifetime, of an hour.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Each try may use up one of the few certificates that count at once, even where its answer is lost.
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(120), longest: Duration::from_secs(3600) };

/// Renews what is in `dir` when it is due, again and again. Dropped, it ends.
pub async fn keep(dir: PathBuf, store: CredentialStore, registrar: Client) {
    let mut failures = 0;
    loop {
        if store.now().is_due() {
            failures = match renew(&dir, &store, &registrar).await {
                Ok(()) => {
                    tracing::info!(expires = %store.now().expires(), "renewed the certificate");
                    0
                }
                Err(error) => {
                    tracing::warn!(
                        error = %Chain(&error),
                        expires = %store.now().expires(),
                        "the certificate was not renewed; trying again until it ends"
                    );
                    failures + 1
                }
            };
        }
        sleep(if failures == 0 { LOOK_EVERY } else { BACKOFF.wait(failures) }).await;
    }
}

/// Asks for a new certificate and uses it from now on.
///
/// # Errors
/// See [`RenewError`].
pub async fn renew(dir: &Path, store: &CredentialStore, registrar: &Client) -> Result<(), RenewError> {
    let request = KeyRequest::new()?;
    let body = RenewRequest { request_pem: request.request_pem().to_owned() };
    let reply: CertificateReply = registrar.post(routes::RENEWAL, &body).await?;
    Credentials::store(dir, &request, &reply.certificate_pem, &reply.authority_pem)?;
    store.replace(Credentials::load(dir)?);
    Ok(())
}
