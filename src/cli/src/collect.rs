//! `gc`.

use super::cli::GcArgs;
use super::daemons::{Daemon, Daemons};
use super::failure::CommandError;
use super::output;
use super::render::{Column, guest_text, table};
use bootstash_base::quoted_path::shown;
use bootstash_net::api::{Client, GcQuery, GcReport, routes};
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
    let heading = format!("{}: {}", daemon.word(), summary(report));
    let parts = [overlays(report), views(report), snapshots(report), expired_nodes(report)];
    std::iter::once(heading).chain(parts.into_iter().flatten()).collect::<Vec<_>>().join("\n")
}

/// A table of fates, unless there is none.
fn fates(what: &'static str, rows: Vec<Vec<String>>) -> Option<String> {
    let columns = [Column::Left(what), Column::Left("FATE"), Column::Left("WHY")];
    (!rows.is_empty()).then(|| table(&columns, rows))
}

fn fate(report: &GcReport, keep: bool, gone: &str) -> String {
    match (keep, report.dry_run) {
        (true, _) => "kept",
        (false, true) => "would go",
        (false, false) => gone,
    }
    .to_owned()
}

fn overlays(report: &GcReport) -> Option<String> {
    let rows = report.overlays_released.iter().map(|overlay| {
        let path = shown(&overlay.path).into_owned();
        vec![path, fate(report, false, "let go"), guest_text(&overlay.reason)]
    });
    fates("OVERLAY", rows.collect())
}

fn views(report: &GcReport) -> Option<String> {
    let rows = report.views.iter().map(|view| {
        vec![view.snapshot.to_string(), fate(report, view.keep, "destroyed"), guest_text(&view.reason)]
    });
    fates("VIEW", rows.collect())
}

fn snapshots(report: &GcReport) -> Option<String> {
    let rows = report.snapshots.iter().map(|snapshot| {
        vec![
            snapshot.name.to_string(),
            fate(report, snapshot.keep, "destroyed"),
            guest_text(&snapshot.reason),
        ]
    });
    fates("SNAPSHOT", rows.collect())
}

fn expired_nodes(report: &GcReport) -> Option<String> {
    let names: Vec<_> = report.expired_nodes.iter().map(ToString::to_string).collect();
    (!names.is_empty())
        .then(|| format!("not heard of for the window, and holding nothing: {}", names.join(", ")))
}

fn summary(report: &GcReport) -> String {
    let snapshots = report.snapshots.iter().filter(|fate| !fate.keep).count();
    let views = report.views.iter().filter(|fate| !fate.keep).count();
    let destroyed =
        counted(&[(snapshots, "snapshot"), (report.deltas_removed.len(), "delta file"), (views, "view")]);
    let released = counted(&[(report.overlays_released.len(), "overlay")]);
    let words = [("let go of", "let go of", released), ("destroy", "destroyed", destroyed)];
    let done: Vec<String> = words
        .into_iter()
        .filter(|(_, _, what)| !what.is_empty())
        .map(|(would, did, what)| format!("{} {what}", if report.dry_run { would } else { did }))
        .collect();
    match (done.is_empty(), report.dry_run) {
        (true, _) => "nothing to collect".to_owned(),
        (false, true) => format!("would {}", done.join(" and ")),
        (false, false) => done.join(" and "),
    }
}

/// `1 snapshot, 2 views`, without what there is none of.
fn counted(counts: &[(usize, &str)]) -> String {
    let some = counts.iter().filter(|(count, _)| *count > 0);
    let words = some.map(|(count, word)| format!("{count} {word}{}", if *count == 1 { "" } else { "s" }));
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::stub;
    use super::*;
    use axum::{Json, routing};
    use bootstash_delta::retention::SnapshotFate;
    use bootstash_net::api::{ReleasedOverlay, ViewFate};

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
            ..GcReport::default()
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

    #[test]
    fn tells_which_overlays_were_let_go_and_what_became_of_views() {
        let view = |number, keep, reason: &str| ViewFate {
            snapshot: stub::snapshot(number),
            keep,
            reason: reason.to_owned(),
        };
        let released = ReleasedOverlay {
            path: "/vms/a.qcow2".into(),
            image: "alpine".parse().unwrap(),
            snapshot: stub::snapshot(1),
            reason: "its file has been gone for 25 hours".to_owned(),
        };
        let views = vec![view(1, false, "no overlay needs it"), view(2, true, "ZFS says that it is in use")];
        let mut report = GcReport { views, overlays_released: vec![released], ..GcReport::default() };
        assert_eq!(
            report_text(Daemon::Agent, &report),
            "agent: let go of 1 overlay and destroyed 1 view\n\
             OVERLAY       FATE    WHY\n\
             /vms/a.qcow2  let go  its file has been gone for 25 hours\n\
             VIEW                        FATE       WHY\n\
             bs-000001-20261121T101530Z  destroyed  no overlay needs it\n\
             bs-000002-20261121T101530Z  kept       ZFS says that it is in use"
        );
        report.dry_run = true;
        let dry = report_text(Daemon::Agent, &report);
        assert!(dry.starts_with("agent: would let go of 1 overlay and destroy 1 view\n"), "{dry}");
        assert!(dry.contains("/vms/a.qcow2  would go  "), "{dry}");
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
