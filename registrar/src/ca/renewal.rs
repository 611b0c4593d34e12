//! The registrar's own certificate, renewed in time.

use super::{Members, certify_ourselves};
use bootstash_base::error::Chain;
use bootstash_net::identity::{Credentials, IdentityError};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Often enough for the shortest lifetime, of an hour.
const LOOK_EVERY: Duration = Duration::from_secs(60);

impl Members {
    /// Renews our own certificate in time, until `stop`.
    pub async fn keep_own(self: Arc<Self>, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            if !self.store.now().is_due() {
                continue;
            }
            let members = Arc::clone(&self);
            let renewing = tokio::task::spawn_blocking(move || members.renew_own());
            let Some(renewed) = stop.run_until_cancelled(renewing).await else { break };
            match renewed.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())) {
                Ok(()) => {
                    tracing::info!(expires = %self.store.now().expires(), "renewed our own certificate")
                }
                Err(error) => {
                    tracing::error!(error = %Chain(&error), "cannot renew our own certificate; trying again");
                }
            }
        }
    }

    fn renew_own(&self) -> Result<(), IdentityError> {
        let dir = self.path.parent().unwrap_or(&self.path);
        certify_ourselves(&self.authority, dir, self.lifetime)?;
        self.store.replace(Credentials::load(dir)?);
        Ok(())
    }
}
