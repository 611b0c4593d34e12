//! Answering Prometheus.

use super::Site;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::IntoResponse;
use bootstash_daemon::telemetry::TextFormat;
use bootstash_net::server::Refusal;

/// A scrape shows what is known: a ZFS that does not answer must not hide the rest.
pub(super) async fn scrape(
    State(site): State<Site>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Refusal> {
    let format = TextFormat::accepted(headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()));
    let usage = site.usage().await;
    site.metrics.show_zfs(site.zfs.unanswered().as_ref());
    site.metrics.show_changed_bases(&site.volume.changed_bases());
    site.metrics.show_certificate(site.credentials.now().expires());
    let text = site
        .metrics
        .scrape(&site.volume.state(), usage.as_ref(), format)
        .map_err(|error| Refusal::internal(&error))?;
    Ok(([(CONTENT_TYPE, format.content_type())], text))
}
