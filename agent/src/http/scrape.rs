//! Answering Prometheus.

use super::Site;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use bootstash_daemon::telemetry;
use bootstash_net::server::Refusal;

/// A scrape shows what is known: a ZFS that does not answer must not hide the rest.
pub(super) async fn scrape(State(site): State<Site>) -> Result<impl IntoResponse, Refusal> {
    let usage = site.usage().await;
    site.metrics.show_zfs(site.zfs.unanswered().as_ref());
    site.metrics.show_changed_bases(&site.volume.changed_bases());
    let text = site
        .metrics
        .scrape(&site.volume.state(), usage.as_ref())
        .map_err(|error| Refusal::internal(&error))?;
    Ok(([(CONTENT_TYPE, telemetry::CONTENT_TYPE)], text))
}
