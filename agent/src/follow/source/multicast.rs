//! The registrar's multicast sessions: one transmission to all nodes that want the delta.

use super::super::fetch_error::FetchError;
use super::super::partial_file::PartialFile;
use super::{DeltaSource, Progress};
use crate::hear::{Heard, Hearer};
use async_trait::async_trait;
use bootstash_delta::DeltaRecord;
use bootstash_multicast::Group;

/// Takes part in a session, where nothing of the delta is here yet.
#[derive(Debug)]
pub(in super::super) struct MulticastSource(Hearer);

impl MulticastSource {
    pub(in super::super) fn new(hearer: Hearer) -> Self {
        Self(hearer)
    }

    /// Joins the group that the registrar names.
    pub(in super::super) async fn join(&mut self, group: Option<Group>) {
        self.0.tune(group).await;
    }

    /// Whether a session would be received now.
    pub(in super::super) fn receives(&self) -> bool {
        self.0.hears()
    }
}

#[async_trait]
impl DeltaSource for MulticastSource {
    async fn fetch(&mut self, file: &PartialFile<'_>) -> Result<Progress, FetchError> {
        if file.exists() {
            return Ok(Progress::Partial);
        }
        Ok(match self.0.hear(file.record(), file.path()).await {
            Heard::Whole => Progress::Whole,
            Heard::Fetch => Progress::Partial,
        })
    }

    /// Each block was checked against what the registrar announced: nobody on the network can have sent it.
    fn blame(&mut self, _record: &DeltaRecord) -> bool {
        false
    }
}
