//! The agent's state, and the images it holds.

use super::Site;
use crate::volume::holders;
use axum::Json;
use axum::extract::{Query, State};
use bootstash_daemon::telemetry;
use bootstash_delta::catalog::Manifest;
use bootstash_net::api::{AgentStatus, ImageView, ImagesQuery};
use bootstash_net::server::Refusal;
use bootstash_zfs::{Unanswered, Usage};
use std::time::Duration;
use tokio::time::timeout;

/// How long a catalog may take to be read, behind a delta that is being applied.
const CATALOG_DEADLINE: Duration = Duration::from_secs(20);
/// The same where less will do.
const STATUS_DEADLINE: Duration = Duration::from_secs(1);

pub(super) async fn status(State(site): State<Site>) -> Json<AgentStatus> {
    let usage = site.usage().await;
    // What is not known in time is told of the snapshot before.
    drop(timeout(STATUS_DEADLINE, site.volume.images()).await);
    let volume = site.volume.state();
    let held = holders::of(volume.held.clone()).await;
    Json(AgentStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        node: site.node,
        registrar: site.registrar,
        state: site.following.borrow().clone(),
        zfs: site.zfs.capabilities().flavor,
        replaced: volume.replaced.clone(),
        images: volume.images.len() as u64,
        images_of: volume.images_of.clone(),
        snapshot: volume.head().map(|head| head.name.clone()),
        snapshots: volume.snapshots.len() as u64,
        overlays: volume.leases.len() as u64,
        changed_bases: site.volume.changed_bases(),
        views: volume.views.len() as u64,
        held,
        usage,
        zfs_unanswered: site.zfs.unanswered().filter(Unanswered::is_noticed),
        identity_conflict: site.identity_conflict.borrow().clone(),
        rss_bytes: telemetry::resident_bytes().unwrap_or_default(),
    })
}

/// The images of the newest snapshot. Which snapshot first held one is for the registrar to say.
pub(super) async fn images(
    State(site): State<Site>,
    Query(query): Query<ImagesQuery>,
) -> Result<Json<Vec<ImageView>>, Refusal> {
    let images = timeout(CATALOG_DEADLINE, site.volume.images()).await.map_err(|_| {
        Refusal::unavailable(
            "the images of this node's newest snapshot are not read yet; `bootstash status` tells what it is doing",
        )
    })??;
    let wanted = images.iter().filter(|manifest| query.wants(&manifest.name)).take(query.most());
    let view = |manifest: &Manifest| ImageView { manifest: manifest.clone(), snapshot: None };
    Ok(Json(wanted.map(view).collect()))
}

impl Site {
    /// Space; none before the first snapshot came, and where ZFS does not tell soon.
    pub(super) async fn usage(&self) -> Option<Usage> {
        let volume = self.volume.state().dataset?;
        bootstash_zfs::usage_soon(self.zfs.as_ref(), &volume).await
    }
}
