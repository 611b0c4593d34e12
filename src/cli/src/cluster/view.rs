//! What the daemons said, and since when one says nothing.

use crate::daemons::Daemon;
use bootstash_net::api::{AgentStatus, ImageView, JobView, NodeView, RegistrarStatus};
use bootstash_zfs::Usage;
use chrono::{DateTime, Utc};
use serde::Serialize;

/// The cluster as it was last told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ClusterView {
    /// When the daemons were asked.
    pub(crate) asked: DateTime<Utc>,
    /// None where there is no registrar, or it never answered.
    pub(crate) registrar: Option<RegistrarView>,
    /// None where there is no agent on this host, or it never answered.
    pub(crate) agent: Option<AgentView>,
    /// Who does not answer; what is known of them is as old as that.
    pub(crate) silent: Vec<Silence>,
}

/// What the registrar said.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct RegistrarView {
    /// Its state.
    pub(crate) status: RegistrarStatus,
    /// The nodes it has heard of.
    pub(crate) nodes: Vec<NodeView>,
    /// All registrations on record, as they were asked for.
    pub(crate) jobs: Vec<JobView>,
    /// What it has registered; left out where nobody shows it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) images: Vec<ImageView>,
}

/// What the agent of this host said.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct AgentView {
    /// Its state.
    pub(crate) status: AgentStatus,
}

/// A daemon that does not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Silence {
    /// `registrar` or `agent`.
    pub(crate) daemon: &'static str,
    /// Since when.
    pub(crate) since: DateTime<Utc>,
    /// Why, for a person.
    pub(crate) error: String,
}

/// What stands above all tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Nodes that belong to it.
    pub(crate) nodes: usize,
    /// Those of them that have the newest snapshot.
    pub(crate) nodes_in_step: usize,
    /// Registrations under way.
    pub(crate) jobs_under_way: usize,
}

impl ClusterView {
    /// Before anybody was asked.
    pub(crate) fn new(now: DateTime<Utc>) -> Self {
        Self { asked: now, registrar: None, agent: None, silent: Vec::new() }
    }

    /// Notes that a daemon answered.
    pub(crate) fn answered(&mut self, daemon: Daemon) {
        self.silent.retain(|silence| silence.daemon != daemon.word());
    }

    /// Notes that a daemon did not, which may have been so for a while.
    pub(crate) fn did_not_answer(&mut self, daemon: Daemon, error: String) {
        let before = self.silent.iter().find(|silence| silence.daemon == daemon.word());
        let since = before.map_or(self.asked, |silence| silence.since);
        self.answered(daemon);
        self.silent.push(Silence { daemon: daemon.word(), since, error });
    }

    /// The space of the storage node's pool, else of this node's.
    pub(crate) fn usage(&self) -> Option<&Usage> {
        let registrar = self.registrar.as_ref().and_then(|registrar| registrar.status.usage.as_ref());
        registrar.or_else(|| self.agent.as_ref()?.status.usage.as_ref())
    }
}

impl RegistrarView {
    /// Counts.
    pub(crate) fn totals(&self) -> Totals {
        let nodes = self.nodes.iter().filter(|node| node.expelled.is_none());
        Totals {
            nodes: nodes.clone().count(),
            nodes_in_step: nodes.filter(|node| node.lag == Some(0)).count(),
            jobs_under_way: self.jobs.iter().filter(|job| job.outcome.is_none()).count(),
        }
    }

    /// Those that need a look first: with a problem, then furthest behind, then by name.
    pub(crate) fn nodes_worst_first(&self) -> Vec<&NodeView> {
        let mut nodes: Vec<&NodeView> = self.nodes.iter().collect();
        nodes.sort_by_key(|node| {
            let ill = node.problem.is_some() || node.identity_conflict.is_some() || node.expired;
            (!ill, std::cmp::Reverse(node.lag.unwrap_or(u64::MAX)), node.name.clone())
        });
        nodes
    }

    /// Those under way, oldest first, then those that ended, newest first.
    pub(crate) fn jobs_under_way_first(&self) -> Vec<&JobView> {
        let mut jobs: Vec<&JobView> = self.jobs.iter().collect();
        jobs.sort_by_key(|job| match job.outcome {
            None => (false, job.id.0),
            Some(_) => (true, u64::MAX - job.id.0),
        });
        jobs
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn silence_lasts_from_the_first_call_that_was_not_answered() {
        let began = samples::now();
        let mut view = ClusterView::new(began);
        view.did_not_answer(Daemon::Agent, "refused".to_owned());
        view.asked = began + TimeDelta::seconds(9);
        view.did_not_answer(Daemon::Agent, "refused again".to_owned());
        view.did_not_answer(Daemon::Registrar, "away".to_owned());
        let since: Vec<_> = view.silent.iter().map(|silence| (silence.daemon, silence.since)).collect();
        assert_eq!(since, [("agent", began), ("registrar", view.asked)]);
        view.answered(Daemon::Agent);
        assert_eq!(view.silent.len(), 1);
    }

    #[test]
    fn who_needs_a_look_comes_first() {
        let registrar = samples::registrar();
        let names: Vec<&str> = registrar.nodes_worst_first().iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["compute-17", "node3", "node2", "node1"]);
        let jobs: Vec<u64> = registrar.jobs_under_way_first().iter().map(|job| job.id.0).collect();
        assert_eq!(jobs, [8, 9, 10, 7, 6]);
        assert_eq!(registrar.totals(), Totals { nodes: 4, nodes_in_step: 2, jobs_under_way: 3 });
    }
}
