//! The registrar's multicast sessions: one transmission to all nodes that want the delta.

use super::super::fetch_error::FetchError;
use super::super::partial_file::PartialFile;
use super::{DeltaSource, Progress};
use crate::multicast::{MulticastClient, Outcome};
use async_trait::async_trait;
use bootstash_delta::DeltaRecord;
use bootstash_multicast::Group;

/// Takes part in a session, where nothing of the delta is here yet.
#[derive(Debug)]
pub(in super::super) struct MulticastSource(MulticastClient);

impl MulticastSource {
    pub(in super::super) fn new(client: MulticastClient) -> Self {
        Self(client)
    }

    /// Joins the group that the registrar names.
    pub(in super::super) async fn join(&mut self, group: Option<Group>) {
        self.0.set_group(group).await;
    }

    /// Whether a session would be received now.
    pub(in super::super) fn receives(&self) -> bool {
        self.0.is_usable()
    }
}

#[async_trait]
impl DeltaSource for MulticastSource {
    async fn fetch(&mut self, file: &PartialFile<'_>) -> Result<Progress, FetchError> {
        if file.exists() {
            return Ok(Progress::Partial);
        }
        Ok(match self.0.receive(file.record(), file.path()).await {
            Outcome::Complete => Progress::Whole,
            Outcome::Fetch => Progress::Partial,
        })
    }

    /// Each block was checked against what the registrar announced: nobody on the network can have sent it.
    fn blame(&mut self, _record: &DeltaRecord) -> bool {
        false
    }
}
