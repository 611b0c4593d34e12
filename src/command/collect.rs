//! `gc`.

use super::cli::GcArgs;
use super::daemons::{Daemon, Daemons};
use super::failure::CommandError;
use super::output;
use super::render::{Column, guest_text, table};
use bootstash::api::{Client, GcQuery, GcReport, routes};
use std::collections::BTreeMap;

/// Collects on each daemon of this host. One that fails keeps no other from collecting.
pub(super) async fn gc(daemons: &Daemons, args: GcArgs) -> Result<(), CommandError> {
    let query = GcQuery { dry_run: args.dry_run, window_seconds: args.window.map(|time| time.as_secs()) };
    let mut reports = Vec::new();
    let mut failed = None;
    for (daemon, client) in daemons.all()? {
        match ask(&client, query).await {
            Ok(report) => reports.push((daemon, report)),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    print(&reports, args.json)?;
    failed.map_or(Ok(()), Err)
}

async fn ask(client: &Client, query: GcQuery) -> Result<GcReport, CommandError> {
    Ok(client.post(routes::GC, &query).await?)
}

fn print(reports: &[(Daemon, GcReport)], json: bool) -> Result<(), CommandError> {
    if json {
        let by_daemon: BTreeMap<_, _> =
            reports.iter().map(|(daemon, report)| (daemon.word(), report)).collect();
        return output::json(&by_daemon);
    }
    let texts: Vec<String> = reports.iter().map(|(daemon, report)| report_text(*daemon, report)).collect();
    if texts.is_empty() { Ok(()) } else { output::line(&texts.join("\n\n")) }
}

fn report_text(daemon: Daemon, report: &GcReport) -> String {
    let mut text = format!("{}: {}", daemon.word(), summary(report));
    if !report.snapshots.is_empty() {
        let columns = [Column::Left("SNAPSHOT"), Column::Left("FATE"), Column::Left("WHY")];
        let rows = report.snapshots.iter().map(|fate| {
            let word = match (fate.keep, report.dry_run) {
                (true, _) => "kept",
                (false, true) => "would go",
                (false, false) => "destroyed",
            };
            vec![fate.name.to_string(), word.to_owned(), guest_text(&fate.reason)]
        });
        text.push('\n');
        text.push_str(&table(&columns, rows.collect()));
    }
    if !report.expired_nodes.is_empty() {
        let names: Vec<_> = report.expired_nodes.iter().map(ToString::to_string).collect();
        text.push_str(&format!("\nnot heard of for the window, and holding nothing: {}", names.join(", ")));
    }
    text
}

fn summary(report: &GcReport) -> String {
    let snapshots = report.snapshots.iter().filter(|fate| !fate.keep).count();
    let gone: Vec<String> = [
        (snapshots, "snapshot"),
        (report.deltas_removed.len(), "delta file"),
        (report.views_removed.len(), "view"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, word)| format!("{count} {word}{}", if count == 1 { "" } else { "s" }))
    .collect();
    match (gone.is_empty(), report.dry_run) {
        (true, _) => "nothing to collect".to_owned(),
        (false, true) => format!("would destroy {}", gone.join(", ")),
        (false, false) => format!("destroyed {}", gone.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::stub;
    use super::*;
    use axum::{Json, routing};
    use bootstash::api::SnapshotFate;

    fn report(dry_run: bool) -> GcReport {
        let fate = |number, keep, reason: &str| SnapshotFate {
            name: stub::snapshot(number),
            keep,
            reason: reason.to_owned(),
        };
        GcReport {
            dry_run,
            snapshots: vec![fate(1, false, "older than 7 d"), fate(2, true, "the newest")],
            deltas_removed: vec!["a".to_owned(), "b".to_owned()],
            expired_nodes: vec!["node3".parse().unwrap()],
            views_removed: Vec::new(),
        }
    }

    #[test]
    fn says_what_went_and_why_the_rest_stays() {
        assert_eq!(
            report_text(Daemon::Registrar, &report(false)),
            "registrar: destroyed 1 snapshot, 2 delta files\n\
             SNAPSHOT                    FATE       WHY\n\
             bs-000001-20261121T101530Z  destroyed  older than 7 d\n\
             bs-000002-20261121T101530Z  kept       the newest\n\
             not heard of for the window, and holding nothing: node3"
        );
        let dry = report_text(Daemon::Agent, &report(true));
        assert!(dry.starts_with("agent: would destroy 1 snapshot, 2 delta files\n"), "{dry}");
        assert!(dry.contains("would go"), "{dry}");
        assert_eq!(report_text(Daemon::Agent, &GcReport::default()), "agent: nothing to collect");
    }

    #[tokio::test]
    async fn passes_the_window_on() {
        let app = axum::Router::new().route(
            routes::GC,
            routing::post(|Json(query): Json<GcQuery>| async move {
                assert_eq!(query.window_seconds, Some(3600));
                Json(report(query.dry_run))
            }),
        );
        let stub = stub::Stub::registrar(app);
        let (_, client) = stub.daemons().first().unwrap();
        let query = GcQuery { dry_run: true, window_seconds: Some(3600) };
        assert!(ask(&client, query).await.unwrap().dry_run);
    }
}
