//! `nodes`.

use super::cli::NodesArgs;
use super::daemons::{Daemon, Daemons};
use super::failure::CommandError;
use super::output;
use super::render::{Column, ago, guest_text, or_dash, short_snapshot, table};
use bootstash_net::api::{NodeView, NodesQuery, routes};
use chrono::{DateTime, Utc};

/// Lists the nodes the registrar has heard of.
pub(super) async fn list(daemons: &Daemons, args: NodesArgs) -> Result<(), CommandError> {
    let query = NodesQuery { all: args.all };
    let nodes: Vec<NodeView> = daemons.need(Daemon::Registrar)?.get(routes::NODES, &query).await?;
    if args.json { output::json(&nodes) } else { output::line(&nodes_text(&nodes, Utc::now())) }
}

fn nodes_text(nodes: &[NodeView], now: DateTime<Utc>) -> String {
    if nodes.is_empty() {
        return "no node has called yet".to_owned();
    }
    let columns = [
        Column::Left("NAME"),
        Column::Left("SNAPSHOT"),
        Column::Right("LAG"),
        Column::Left("LAST CONTACT"),
        Column::Left("VERSION"),
        Column::Left("PROBLEM"),
    ];
    table(&columns, nodes.iter().map(|node| row(node, now)).collect())
}

fn row(node: &NodeView, now: DateTime<Utc>) -> Vec<String> {
    vec![
        node.name.to_string(),
        or_dash(node.snapshot.as_ref().map(short_snapshot)),
        or_dash(node.lag),
        ago(node.last_contact, now),
        or_dash(node.version.as_deref().map(guest_text)),
        or_dash(problem(node, now)),
    ]
}

/// Why it is none any more; or what is wrong with it, as the registrar sees and as it says itself.
pub(super) fn problem(node: &NodeView, now: DateTime<Utc>) -> Option<String> {
    if let Some(expelled) = node.expelled {
        return Some(format!(
            "expelled {}; `bootstash node invite {}` lets it in again",
            ago(expelled, now),
            node.name
        ));
    }
    let conflict = node.identity_conflict.as_ref().map(|conflict| guest_text(&conflict.to_string()));
    let silent = || "silent for the window; no snapshot is kept for it".to_owned();
    let own = node.problem.as_deref().map(guest_text).or_else(|| node.expired.then(silent));
    let problems: Vec<_> = conflict.into_iter().chain(own).collect();
    (!problems.is_empty()).then(|| problems.join("; "))
}

#[cfg(test)]
mod tests {
    use super::super::stub;
    use super::*;
    use bootstash_net::api::{ConflictingHost, IdentityConflict};
    use chrono::TimeDelta;

    #[test]
    fn shows_lag_contact_and_what_is_wrong() {
        let now = Utc::now();
        let well = NodeView {
            name: "node1".parse().unwrap(),
            snapshot: Some(stub::snapshot(42)),
            lag: Some(0),
            last_contact: now - TimeDelta::seconds(3),
            version: Some("0.1.0".to_owned()),
            expired: false,
            problem: None,
            expelled: None,
            identity_conflict: None,
        };
        let gone = NodeView {
            name: "node2".parse().unwrap(),
            last_contact: now - TimeDelta::days(9),
            expired: true,
            ..well.clone()
        };
        let ill = NodeView {
            name: "compute-17".parse().unwrap(),
            snapshot: None,
            lag: None,
            version: None,
            problem: Some("the pool\nis full".to_owned()),
            ..well.clone()
        };
        assert_eq!(
            nodes_text(&[well, ill, gone], now),
            "NAME        SNAPSHOT   LAG  LAST CONTACT  VERSION  PROBLEM\n\
             node1       bs-000042    0  3 s ago       0.1.0    -\n\
             compute-17  -            -  3 s ago       -        the pool is full\n\
             node2       bs-000042    0  9 d ago       0.1.0    silent for the window; no snapshot is kept for it"
        );
        assert_eq!(nodes_text(&[], now), "no node has called yet");
    }

    #[test]
    fn shows_who_was_expelled_and_whose_identity_several_hosts_use() {
        let now = Utc::now();
        let host = |address: &str, host: &str| ConflictingHost {
            address: address.to_owned(),
            last_contact: now,
            host: host.parse().unwrap(),
        };
        let well = NodeView {
            name: "node1".parse().unwrap(),
            snapshot: None,
            lag: None,
            last_contact: now,
            version: None,
            expired: false,
            problem: Some("the pool is full".to_owned()),
            expelled: None,
            identity_conflict: None,
        };
        let hosts = vec![host("10.0.0.5", "a.1"), host("10.0.0.6", "a.2")];
        let cloned = NodeView { identity_conflict: Some(IdentityConflict { hosts }), ..well.clone() };
        let text = problem(&cloned, now).unwrap();
        assert!(text.starts_with("2 hosts use this node's identity (10.0.0.5, 10.0.0.6)"), "{text}");
        assert!(text.ends_with("; the pool is full"), "{text}");
        let expelled = NodeView { expelled: Some(now - TimeDelta::days(3)), ..well };
        assert_eq!(
            problem(&expelled, now).unwrap(),
            "expelled 3 d ago; `bootstash node invite node1` lets it in again"
        );
    }
}
