//! Asking a host's daemons through the command, and waiting for what they say.

use super::host::Host;
use super::{Lab, wait};
use anyhow::{Context, Result};
use bootstash_net::api::{AgentStatus, ImageView, JobView, NodeView, OverlayView, RegistrarStatus};
use serde::Deserialize;
use std::time::Duration;

/// How long nodes may take to be in step, a full stream of several images included.
const STEP_DEADLINE: Duration = Duration::from_secs(120);

#[derive(Debug, Deserialize)]
struct HostStatus {
    registrar: Option<RegistrarStatus>,
    agent: Option<AgentStatus>,
}

impl Host {
    /// The registrar of this host.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn registrar_status(&self) -> Result<RegistrarStatus> {
        let status: HostStatus = self.ask(["status"])?;
        status.registrar.with_context(|| format!("no registrar runs on {}", self.name()))
    }

    /// The agent of this host.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn agent_status(&self) -> Result<AgentStatus> {
        let status: HostStatus = self.ask(["status"])?;
        status.agent.with_context(|| format!("no agent runs on {}", self.name()))
    }

    /// The images registered, or held.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn images(&self) -> Result<Vec<ImageView>> {
        self.ask(["images"])
    }

    /// The nodes the registrar of this host knows.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn nodes(&self) -> Result<Vec<NodeView>> {
        self.ask(["nodes"])
    }

    /// The registrations of the registrar of this host.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn jobs(&self) -> Result<Vec<JobView>> {
        self.ask(["jobs"])
    }

    /// The overlays the agent of this host knows.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn overlays(&self) -> Result<Vec<OverlayView>> {
        self.ask(["overlays"])
    }

    /// The names of the images registered, or held.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn image_names(&self) -> Result<Vec<String>> {
        Ok(self.images()?.iter().map(|image| image.manifest.name.to_string()).collect())
    }
}

impl Lab {
    /// Waits until every node says, and the registrar knows, that it has the newest snapshot.
    ///
    /// # Errors
    /// When one does not in time.
    pub fn wait_in_step(&self) -> Result<Vec<NodeView>> {
        wait::until("every node to be in step", STEP_DEADLINE, || {
            let newest = self.storage().registrar_status()?.snapshot;
            let nodes = self.storage().nodes()?;
            let in_step = |node: &&NodeView| node.snapshot == newest && node.lag == Some(0);
            let all = nodes.iter().filter(in_step).count() == self.nodes().len();
            Ok((all && newest.is_some()).then_some(nodes))
        })
    }
}
