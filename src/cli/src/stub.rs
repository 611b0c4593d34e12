//! For tests: a daemon on a Unix socket that answers what the test says, and values to answer with.

use super::daemons::Daemons;
use axum::http::StatusCode;
use axum::{Json, Router};
use bootstash_base::error::ErrorClass;
use bootstash_base::names::SnapshotName;
use bootstash_delta::catalog::{BootRecord, BootSignal, CacheFacts, Confidence, Manifest};
use bootstash_disk::firmware::Firmware;
use bootstash_disk::{BaseIdentity, ImageFormat, Source};
use bootstash_net::api::{AgentState, AgentStatus, ErrorBody, ImageView};
use bootstash_zfs::Flavor;
use chrono::{DateTime, Utc};
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

/// Serves until it is dropped.
pub(super) struct Stub {
    dir: tempfile::TempDir,
    server: JoinHandle<()>,
}

impl Stub {
    /// A registrar that serves `app`.
    pub(super) fn registrar(app: Router) -> Self {
        Self::serve("r.sock", app)
    }

    /// A registrar that serves `app` on the host of another stub.
    pub(super) fn registrar_beside(other: &Self, app: Router) -> JoinHandle<()> {
        listen(&other.dir.path().join("r.sock"), app)
    }

    /// An agent that serves `app`.
    pub(super) fn agent(app: Router) -> Self {
        Self::serve("a.sock", app)
    }

    fn serve(socket: &str, app: Router) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = listen(&dir.path().join(socket), app);
        Self { dir, server }
    }

    /// The daemons of a host where only this one runs.
    pub(super) fn daemons(&self) -> Daemons {
        daemons_in(self.dir.path())
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn listen(socket: &Path, app: Router) -> JoinHandle<()> {
    let listener = UnixListener::bind(socket).unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() })
}

fn daemons_in(dir: &Path) -> Daemons {
    Daemons::new(dir.join("r.sock"), dir.join("a.sock"), None)
}

/// An answer that is no success.
pub(super) fn refusal(status: u16, error: &str, kind: ErrorClass) -> (StatusCode, Json<ErrorBody>) {
    (StatusCode::from_u16(status).unwrap(), Json(ErrorBody { error: error.to_owned(), kind, expelled: None }))
}

/// Snapshot `number`, of a fixed time.
pub(super) fn snapshot(number: u64) -> SnapshotName {
    SnapshotName::new(number, "2026-11-21T10:15:30Z".parse().unwrap())
}

/// An agent with two overlays, in this state.
pub(super) fn agent_status(state: AgentState) -> AgentStatus {
    AgentStatus {
        version: "0.1.0".to_owned(),
        node: "node1".parse().unwrap(),
        registrar: "https://10.77.0.1:7430".to_owned(),
        state,
        replaced: Vec::new(),
        zfs: Flavor::OpenZfs,
        images: 3,
        images_of: None,
        snapshot: None,
        snapshots: 0,
        overlays: 2,
        changed_bases: Vec::new(),
        views: 1,
        held: Vec::new(),
        usage: None,
        zfs_unanswered: None,
        identity_conflict: None,
        rss_bytes: 20 << 20,
    }
}

/// An image of 8 GiB with a cache of 118.3 MiB after two boots.
pub(super) fn image(name: &str, registered: DateTime<Utc>) -> ImageView {
    let identity = BaseIdentity {
        size_bytes: 8 << 30,
        mtime_ns: 0,
        sample_digest: "00".to_owned(),
        inode: None,
        content: None,
    };
    let source = Source {
        path: PathBuf::from("/srv/a.raw"),
        format: ImageFormat::Raw,
        virtual_size_bytes: 8 << 30,
        identity,
        firmware: Firmware::Bios,
    };
    let boot = BootRecord {
        seconds: 60.0,
        base_bytes: 0,
        new_clusters: 0,
        signal: BootSignal::LoginPrompt,
        profile: None,
        began_seconds: 0.0,
        retried_after: None,
    };
    let manifest = Manifest {
        version: Manifest::VERSION,
        name: name.parse().unwrap(),
        source,
        cache: CacheFacts { bytes: 124_010_000, cluster_bytes: 65536, data_clusters: 1763, zero_clusters: 9 },
        boots: vec![boot.clone(), boot],
        unbooted: Vec::new(),
        confidence: Confidence::High,
        accelerator: "tcg".to_owned(),
        seed: true,
        boots_to_follow: 0,
        registered,
    };
    ImageView { manifest, snapshot: Some(snapshot(42)) }
}
