//! `nodes`.

use super::cli::ListArgs;
use super::daemons::{Daemon, Daemons};
use super::failure::CommandError;
use super::output;
use super::render::{Column, ago, guest_text, or_dash, short_snapshot, table};
use bootstash_net::api::{NodeView, routes};
use chrono::{DateTime, Utc};

/// Lists the nodes the registrar has heard of.
pub(super) async fn list(daemons: &Daemons, args: ListArgs) -> Result<(), CommandError> {
    let nodes: Vec<NodeView> = daemons.need(Daemon::Registrar)?.get(routes::NODES, &()).await?;
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
        or_dash(problem(node)),
    ]
}

/// What stopped it, or that nothing is kept for it any more.
fn problem(node: &NodeView) -> Option<String> {
    let silent = || "silent for the window; no snapshot is kept for it".to_owned();
    node.problem.as_deref().map(guest_text).or_else(|| node.expired.then(silent))
}

#[cfg(test)]
mod tests {
    use super::super::stub;
    use super::*;
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
}
