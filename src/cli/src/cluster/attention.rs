//! What somebody should look at: pure, from what the daemons said.

use super::{AgentView, ClusterView, RegistrarView};
use crate::nodes::problem;
use crate::render::{ago, guest_text, size};
use bootstash_delta::catalog::Confidence;
use bootstash_net::api::AgentState;
use bootstash_zfs::{Unanswered, Usage};
use chrono::{DateTime, Utc};

/// A pool fuller than this is slow, and soon in nobody's use.
const FULL_PERCENT: u64 = 90;

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Matter {
    /// What it is about: `node compute-17`.
    pub(crate) subject: String,
    /// What is wrong, for a person; safe for a terminal.
    pub(crate) what: String,
}

/// All of them, the gravest first.
pub(crate) fn matters(view: &ClusterView, now: DateTime<Utc>) -> Vec<Matter> {
    let silent = view.silent.iter().map(|silence| {
        let since = ago(silence.since, now).replace(" ago", "");
        matter(silence.daemon, format!("has not answered for {since}: {}", silence.error))
    });
    let registrar = view.registrar.iter().flat_map(|registrar| of_registrar(registrar, now));
    let agent = view.agent.iter().flat_map(of_agent);
    silent.chain(registrar).chain(agent).collect()
}

fn matter(subject: impl Into<String>, what: impl AsRef<str>) -> Matter {
    Matter { subject: subject.into(), what: guest_text(what.as_ref()) }
}

fn of_registrar(registrar: &RegistrarView, now: DateTime<Utc>) -> Vec<Matter> {
    let status = &registrar.status;
    let mut found = of_zfs("registrar", status.zfs_unanswered.as_ref(), status.usage.as_ref());
    for node in registrar.nodes_worst_first() {
        let here = node.expelled.is_none();
        found.extend(
            problem(node, now).filter(|_| here).map(|what| matter(format!("node {}", node.name), what)),
        );
    }
    let doubted = registrar.images.iter().filter(|image| image.manifest.confidence == Confidence::Low);
    found.extend(doubted.filter_map(|image| {
        let doubt = image.manifest.doubt()?;
        Some(matter(format!("image {}", image.manifest.name), format!("of low trust: {doubt}")))
    }));
    found
}

fn of_agent(agent: &AgentView) -> Vec<Matter> {
    let status = &agent.status;
    let mut found = of_zfs("agent", status.zfs_unanswered.as_ref(), status.usage.as_ref());
    match &status.state {
        AgentState::Stopped { error } => found.push(matter("agent", format!("stopped: {error}"))),
        AgentState::Waiting { error } => {
            found.push(matter("agent", format!("waits for the registrar: {error}")));
        }
        AgentState::Starting | AgentState::InStep | AgentState::Applying { .. } => (),
    }
    found.extend(status.changed_bases.iter().map(|base| {
        let path = base.path.display();
        matter(
            format!("image {}", base.image),
            format!("{path} changed under {} overlays", base.overlays.len()),
        )
    }));
    found.extend(status.identity_conflict.as_ref().map(|conflict| matter("agent", conflict.to_string())));
    found
}

fn of_zfs(daemon: &str, unanswered: Option<&Unanswered>, usage: Option<&Usage>) -> Vec<Matter> {
    let waiting = unanswered.map(|waiting| {
        matter(daemon, format!("ZFS has not answered `{}` for {} s", waiting.call, waiting.seconds))
    });
    let full = usage
        .filter(|usage| percent_used(usage) >= FULL_PERCENT)
        .map(|usage| matter(daemon, format!("the pool has {} left", size(usage.available_bytes))));
    let table = usage.and_then(|usage| usage.dedup_table);
    let table = table.and_then(|table| {
        let quota = table.quota_bytes.filter(|quota| table.bytes >= *quota)?;
        let (bytes, quota) = (size(table.bytes), size(quota));
        Some(matter(
            daemon,
            format!(
                "the deduplication table is full ({bytes} of {quota}): new blocks are stored as they are"
            ),
        ))
    });
    waiting.into_iter().chain(full).chain(table).collect()
}

/// Of all the pool has.
fn percent_used(usage: &Usage) -> u64 {
    let total = usage.used_bytes.saturating_add(usage.available_bytes).max(1);
    (u128::from(usage.used_bytes) * 100 / u128::from(total)).try_into().unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use bootstash_zfs::DedupTable;

    #[test]
    fn what_is_well_is_not_mentioned() {
        let mut view = samples::view();
        let registrar = view.registrar.as_mut().unwrap();
        registrar.nodes.retain(|node| node.problem.is_none() && !node.expired);
        registrar.images.retain(|image| image.manifest.confidence == Confidence::High);
        assert_eq!(matters(&view, samples::now()), []);
    }

    #[test]
    fn each_matter_names_its_subject() {
        let mut view = samples::view();
        view.did_not_answer(crate::daemons::Daemon::Agent, "refused\x1b[2J".to_owned());
        let registrar = view.registrar.as_mut().unwrap();
        registrar.status.usage = Some(Usage {
            available_bytes: 1,
            dedup_table: Some(DedupTable { bytes: 70 << 20, quota_bytes: Some(64 << 20) }),
            ..samples::usage()
        });
        let texts: Vec<_> = matters(&view, samples::now())
            .iter()
            .map(|matter| format!("{}: {}", matter.subject, matter.what))
            .collect();
        assert_eq!(
            texts,
            [
                "agent: has not answered for 0 s: refused",
                "registrar: the pool has 1B left",
                "registrar: the deduplication table is full (70M of 64M): new blocks are stored as they are",
                "node compute-17: the pool is full",
                "node node3: silent for the window; no snapshot is kept for it",
                "image alpine: of low trust: only one boot was made, and none to show that it had read all",
            ]
        );
    }
}
