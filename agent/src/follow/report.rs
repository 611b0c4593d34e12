//! Telling the registrar where this node is: after each change, and now and then.

use bootstash_base::error::Chain;
use bootstash_base::names::NodeName;
use bootstash_net::api::{CallError, Client, NodeReport, routes};
use std::time::Duration;
use tokio::time::Instant;

/// Remembers what was reported.
#[derive(Debug)]
pub(super) struct Reporter {
    registrar: Client,
    path: String,
    every: Duration,
    last: Option<(NodeReport, Instant)>,
}

impl Reporter {
    pub(super) fn new(registrar: Client, node: &NodeName, every: Duration) -> Self {
        let path = routes::NODE_REPORT.replace("{node}", node.as_str());
        Self { registrar, path, every, last: None }
    }

    /// Reports unless the registrar knows all of it. A report that does not get through is no failure
    /// of its own: the next round meets the same registrar.
    pub(super) async fn send(&mut self, report: NodeReport) {
        if self.is_known(&report) {
            return;
        }
        match self.registrar.post::<serde_json::Value>(&self.path, &report).await {
            // An empty answer is one, too.
            Ok(_) | Err(CallError::Answer { .. }) => self.last = Some((report, Instant::now())),
            Err(error) => tracing::debug!("report not delivered: {}", Chain(&error)),
        }
    }

    /// The registrar may be replaced by one that knows nothing: report anew.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    fn is_known(&self, report: &NodeReport) -> bool {
        self.last.as_ref().is_some_and(|(last, at)| last == report && at.elapsed() < self.every)
    }
}
