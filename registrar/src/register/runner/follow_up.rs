//! Following up: the boots that were left when nodes were given the image.
//!
//! Promises: the image stays what nodes have, whatever comes of these boots; its base must still be what they booted.

use super::{Inner, Runner};
use crate::capture::{Boots, PublishedCache, VerifyError};
use crate::job::{JobRecord, SubmitError, Submitted};
use crate::register::StepFailure;
use bootstash_base::names::ImageName;
use bootstash_delta::catalog;
use bootstash_disk::Source;
use bootstash_net::api::{CancelReply, RegisterRequest};

impl Runner {
    /// Makes the boots that are still to be made of a published image, or finds them under way.
    ///
    /// # Errors
    /// See [`crate::job::JobRegistry::submit`].
    pub async fn follow_up(
        &self,
        name: ImageName,
        request: RegisterRequest,
    ) -> Result<Submitted, SubmitError> {
        self.accept(name, request, true).await
    }

    /// Cancels the boots that follow up on an image; none where there are none.
    pub async fn cancel_follow_up(&self, name: &ImageName) -> Option<CancelReply> {
        let record = self.inner.jobs.active(name).filter(|record| record.follows_up)?;
        self.cancel(record.id).await
    }
}

impl Inner {
    /// Which boots a registration makes.
    pub(super) async fn boots(&self, record: &JobRecord) -> Result<Boots, StepFailure> {
        if record.follows_up {
            return Ok(Boots::Following(self.published(record).await?));
        }
        // High confidence is known once all are made.
        let all = record.capture.complete || record.require.is_some();
        Ok(if all { Boots::All } else { Boots::FirstRound })
    }

    /// What was registered, if its base is untouched.
    pub(super) async fn inspect_published(&self, record: &JobRecord) -> Result<Source, StepFailure> {
        let source = self.published(record).await?.manifest.source;
        let inspected = source.clone();
        let untouched = move || inspected.identity.is_untouched(&inspected.path);
        let untouched = tokio::task::spawn_blocking(untouched).await;
        if !untouched.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))? {
            return Err(VerifyError::Changed { path: source.path }.into());
        }
        Ok(source)
    }

    /// The image as it is in the head.
    pub(super) async fn published(&self, record: &JobRecord) -> Result<PublishedCache, StepFailure> {
        let name = record.name.clone();
        let read = move |mountpoint: &std::path::Path| {
            let manifest = Box::new(catalog::read_manifest(mountpoint, &name)?);
            Ok::<_, catalog::CatalogError>(PublishedCache {
                file: catalog::cache_path(mountpoint, &name),
                manifest,
            })
        };
        Ok(self.reader.read(read).await??)
    }
}
