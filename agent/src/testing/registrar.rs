//! A registrar with a real volume (in memory), real delta files, and faults on order.

use super::stream::Streams;
use axum::Router;
use axum::extract::{Json, Path as UrlPath, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bootstash_base::names::{DatasetName, ImageName, SnapshotName};
use bootstash_delta::SnapshotId;
use bootstash_delta::catalog;
use bootstash_delta::catalog::{CacheFacts, Confidence, MANIFEST_FILE, Manifest};
use bootstash_delta::{DeltaRecord, VolumeLog};
use bootstash_disk::firmware::Firmware;
use bootstash_disk::{BaseIdentity, ContentDigest, ImageFormat, Source};
use bootstash_net::api::{DeltaQuery, IdentityConflict, LogQuery, LogReply, NodeReport, routes};
use bootstash_zfs::fake::FakeZfs;
use bootstash_zfs::{NewDataset, Role, Snapshot, Zfs};
use chrono::Utc;
use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// What is wrong with the next download.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DownloadFault {
    /// It ends after this number of bytes.
    EndAfter(usize),
    /// The last byte is another.
    LastByte,
}

#[derive(Clone)]
struct Shared {
    dir: PathBuf,
    log: watch::Sender<VolumeLog>,
    full: Arc<Mutex<VecDeque<StatusCode>>>,
    faults: Arc<Mutex<VecDeque<DownloadFault>>>,
    offsets: Arc<Mutex<Vec<usize>>>,
    /// Where nodes are sent for deltas, unless they want none of it.
    peer: Arc<Mutex<Option<String>>>,
    /// How many of the next are told to retry later.
    busy: Arc<Mutex<usize>>,
    reports: watch::Sender<Vec<NodeReport>>,
    /// Told with the log.
    identity_conflict: Arc<Mutex<Option<IdentityConflict>>>,
    /// The deltas that nodes said were damaged.
    complaints: Arc<Mutex<Vec<String>>>,
}

/// The registrar.
pub(crate) struct StubRegistrar {
    zfs: Arc<FakeZfs>,
    streams: Streams,
    volume: DatasetName,
    root: PathBuf,
    shared: Shared,
    listener: Option<TcpListener>,
    address: String,
    serving: Option<AbortHandle>,
}

impl StubRegistrar {
    /// A registrar whose files lie below `dir`. It has a port, on which nobody answers yet.
    pub(crate) async fn new(dir: &Path) -> Self {
        let volume: DatasetName = "store/bootstash".parse().unwrap();
        let (root, deltas) = (dir.join("registrar/volume"), dir.join("registrar/deltas"));
        std::fs::create_dir_all(&deltas).unwrap();
        std::fs::create_dir_all(dir.join("bases")).unwrap();
        let zfs = Arc::new(FakeZfs::seeded(7));
        let streams = Streams::of(Arc::clone(&zfs), volume.clone());
        let new = NewDataset { role: Role::Volume, mountpoint: Some(root.clone()), properties: Vec::new() };
        zfs.create(&volume, &new).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Shared {
            dir: deltas,
            log: watch::Sender::default(),
            full: Arc::default(),
            faults: Arc::default(),
            offsets: Arc::default(),
            peer: Arc::default(),
            busy: Arc::default(),
            reports: watch::Sender::default(),
            identity_conflict: Arc::default(),
            complaints: Arc::default(),
        };
        let address = format!("http://{}", listener.local_addr().unwrap());
        let mut registrar =
            Self { zfs, streams, volume, root, shared, listener: Some(listener), address, serving: None };
        registrar.stop_serving().await;
        registrar
    }

    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// From now on each connection is closed as soon as it is accepted.
    pub(crate) async fn stop_serving(&mut self) {
        let listener = self.take_listener().await;
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                drop(connection);
            }
        });
        self.serving = Some(task.abort_handle());
    }

    /// From now on it answers.
    pub(crate) async fn start_serving(&mut self) {
        let listener = self.take_listener().await;
        let routes = routes(self.shared.clone()).merge(self.streams.routes());
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        self.serving = Some(task.abort_handle());
    }

    async fn take_listener(&mut self) -> TcpListener {
        if let Some(listener) = self.listener.take() {
            return listener;
        }
        let address = self.address.trim_start_matches("http://").to_owned();
        if let Some(serving) = self.serving.take() {
            serving.abort();
            while !serving.is_finished() {
                tokio::task::yield_now().await;
            }
        }
        TcpListener::bind(address).await.unwrap()
    }

    /// Registers images and publishes a snapshot with a delta, as the registrar does.
    pub(crate) async fn publish(&self, images: &[&str]) -> Snapshot {
        let number = self.shared.log.borrow().snapshots.len() as u64 + 1;
        self.publish_as(images, SnapshotName::new(number, Utc::now())).await
    }

    /// The same with a snapshot of this name.
    pub(crate) async fn publish_as(&self, images: &[&str], name: SnapshotName) -> Snapshot {
        for image in images {
            self.write_image(&image.parse().unwrap());
        }
        let to = self.zfs.snapshot(&self.volume, &name).await.unwrap();
        let from = self.shared.log.borrow().snapshots.last().cloned();
        let record = match &from {
            Some(from) => Some(self.delta(Some(from), &to).await),
            None => None,
        };
        self.shared.log.send_modify(|log| {
            log.snapshots.push(to.clone());
            log.deltas.extend(record);
        });
        to
    }

    async fn delta(&self, from: Option<&Snapshot>, to: &Snapshot) -> DeltaRecord {
        let id = |snapshot: &Snapshot| SnapshotId { name: snapshot.name.clone(), guid: snapshot.guid };
        let stream = self.zfs.send(&self.volume, from.map(|from| &from.name), &to.name).await.unwrap();
        bootstash_delta::write(&self.shared.dir, from.map(id), id(to), stream).await.unwrap()
    }

    /// Makes the full stream to the newest snapshot, which is handed out after `delays` answers of 202.
    pub(crate) async fn offer_full(&self, delays: usize) {
        let newest = self.shared.log.borrow().snapshots.last().cloned().unwrap();
        let record = self.delta(None, &newest).await;
        std::fs::write(self.shared.dir.join("full.json"), serde_json::to_vec(&record).unwrap()).unwrap();
        self.shared.full.lock().unwrap().extend(vec![StatusCode::ACCEPTED; delays]);
    }

    /// Streams the volume itself from now on; the first streams are cut after these numbers of bytes.
    pub(crate) fn stream(&self, cuts: &[usize]) {
        self.streams.cuts.lock().unwrap().extend(cuts);
        self.streams.offered.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    pub(crate) fn stream_no_more(&self) {
        self.streams.offered.store(false, std::sync::atomic::Ordering::Relaxed);
    }

    /// Of each stream that was asked for, whether it was to be the rest of one that was cut.
    pub(crate) fn asked_for_rest(&self) -> Vec<bool> {
        self.streams.asked.lock().unwrap().clone()
    }

    /// Forgets all but the newest snapshot.
    pub(crate) async fn forget_old(&self) {
        let snapshots = self.zfs.snapshots(&self.volume).await.unwrap();
        for old in &snapshots[..snapshots.len() - 1] {
            self.zfs.destroy_snapshot(&self.volume, &old.name).await.unwrap();
        }
        self.change_log(|log| {
            log.deltas.clear();
            log.snapshots = snapshots[snapshots.len() - 1..].to_vec();
        });
    }

    fn write_image(&self, name: &ImageName) {
        let base = self.base_of(name.as_str());
        std::fs::write(&base, vec![1; 70_000]).unwrap();
        let directory = catalog::image_dir(&self.root, name);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(catalog::cache_path(&self.root, name), noise(name)).unwrap();
        let manifest = serde_json::to_vec(&manifest(name, &base)).unwrap();
        std::fs::write(directory.join(MANIFEST_FILE), manifest).unwrap();
    }

    /// The base of an image.
    pub(crate) fn base_of(&self, image: &str) -> PathBuf {
        self.root.parent().unwrap().parent().unwrap().join("bases").join(format!("{image}.raw"))
    }

    /// Changes the log in a way the registrar never would, or might after a disaster.
    pub(crate) fn change_log(&self, change: impl FnOnce(&mut VolumeLog)) {
        self.shared.log.send_modify(change);
    }

    pub(crate) fn spoil_next_download(&self, fault: DownloadFault) {
        self.shared.faults.lock().unwrap().push_back(fault);
    }

    /// Sends nodes to this URL for deltas.
    pub(crate) fn send_to_peer(&self, url: &str) {
        *self.shared.peer.lock().unwrap() = Some(url.to_owned());
    }

    /// Tells the next to retry, at once.
    pub(crate) fn be_busy(&self, times: usize) {
        *self.shared.busy.lock().unwrap() = times;
    }

    /// The newest delta and its file.
    pub(crate) fn newest_delta(&self) -> (DeltaRecord, PathBuf) {
        let record = self.shared.log.borrow().deltas.last().cloned().unwrap();
        let path = self.shared.dir.join(&record.file);
        (record, path)
    }

    /// From which byte each download was asked for.
    pub(crate) fn offsets(&self) -> Vec<usize> {
        self.shared.offsets.lock().unwrap().clone()
    }

    /// Says from now on that other hosts use the node's identity.
    pub(crate) fn tell_conflict(&self, conflict: IdentityConflict) {
        *self.shared.identity_conflict.lock().unwrap() = Some(conflict);
    }

    /// The deltas that nodes said were damaged.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.shared.complaints.lock().unwrap().clone()
    }

    /// How many reports came.
    pub(crate) fn report_count(&self) -> usize {
        self.shared.reports.borrow().len()
    }

    /// Those that came after so many.
    pub(crate) fn reports_since(&self, count: usize) -> Vec<NodeReport> {
        self.shared.reports.borrow()[count..].to_vec()
    }

    /// Waits for a report.
    pub(crate) async fn report(&self, wanted: impl Fn(&NodeReport) -> bool) -> NodeReport {
        let mut reports = self.shared.reports.subscribe();
        let reports =
            super::soon(reports.wait_for(|reports| reports.last().is_some_and(&wanted))).await.unwrap();
        reports.last().cloned().unwrap()
    }
}

impl Drop for StubRegistrar {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

/// 300 kB that do not compress, of this image alone.
fn noise(name: &ImageName) -> Vec<u8> {
    let mut bytes = vec![0; 300_000];
    blake3::Hasher::new().update(name.as_str().as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn manifest(name: &ImageName, base: &Path) -> Manifest {
    let content = ContentDigest::of(&File::open(base).unwrap(), || Ok(())).unwrap();
    Manifest {
        version: Manifest::VERSION,
        name: name.clone(),
        source: Source {
            path: base.to_owned(),
            format: ImageFormat::Raw,
            virtual_size_bytes: 70_144,
            identity: BaseIdentity { content: Some(content), ..BaseIdentity::of(base).unwrap() },
            firmware: Firmware::Bios,
        },
        cache: CacheFacts { bytes: 300_000, cluster_bytes: 65_536, data_clusters: 4, zero_clusters: 0 },
        boots: Vec::new(),
        unbooted: Vec::new(),
        confidence: Confidence::High,
        accelerator: "tcg".to_owned(),
        seed: true,
        boots_to_follow: 0,
        registered: Utc::now(),
    }
}

fn routes(shared: Shared) -> Router {
    Router::new()
        .route(routes::LOG, get(log))
        .route(routes::FULL, get(full))
        .route(&format!("{}/{{file}}", routes::DELTAS), get(download))
        .route(routes::DELTA_COMPLAINT, post(complain))
        .route(routes::NODE_REPORT, post(report))
        .with_state(shared)
}

async fn log(State(shared): State<Shared>, Query(query): Query<LogQuery>) -> Json<LogReply> {
    let mut log = shared.log.subscribe();
    let is_news = |log: &VolumeLog| log.snapshots.last().map(|newest| newest.guid) != query.after;
    drop(tokio::time::timeout(Duration::from_secs(query.wait_seconds), log.wait_for(is_news)).await);
    let (log, identity_conflict) =
        (shared.log.borrow().clone(), shared.identity_conflict.lock().unwrap().clone());
    Json(LogReply { log, identity_conflict, ..LogReply::default() })
}

async fn full(State(shared): State<Shared>) -> Response {
    if let Some(status) = shared.full.lock().unwrap().pop_front() {
        return status.into_response();
    }
    let json = std::fs::read(shared.dir.join("full.json")).unwrap();
    ([(header::CONTENT_TYPE, "application/json")], json).into_response()
}

async fn report(
    State(shared): State<Shared>,
    UrlPath(node): UrlPath<String>,
    Json(report): Json<NodeReport>,
) -> Json<()> {
    assert_eq!(node, "c17");
    shared.reports.send_modify(|reports| reports.push(report));
    Json(())
}

async fn complain(State(shared): State<Shared>, UrlPath(file): UrlPath<String>) -> Json<()> {
    shared.complaints.lock().unwrap().push(file);
    Json(())
}

async fn download(
    State(shared): State<Shared>,
    UrlPath(file): UrlPath<String>,
    Query(query): Query<DeltaQuery>,
    headers: HeaderMap,
) -> Response {
    let busy = std::mem::replace(&mut *shared.busy.lock().unwrap(), 0);
    if busy > 0 {
        *shared.busy.lock().unwrap() = busy - 1;
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "0")]).into_response();
    }
    if let (Some(peer), false) = (shared.peer.lock().unwrap().as_ref(), query.direct) {
        let digest = shared.log.borrow().deltas.iter().find(|it| it.file == file).unwrap().digest.clone();
        let location = format!("{peer}{}/{digest}", routes::DELTAS);
        return (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)]).into_response();
    }
    let range = headers.get(header::RANGE).map(|range| range.to_str().unwrap().to_owned());
    let offset: usize = range
        .as_ref()
        .map_or(0, |range| range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap());
    shared.offsets.lock().unwrap().push(offset);
    let mut bytes = std::fs::read(shared.dir.join(file)).unwrap().split_off(offset);
    let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    match shared.faults.lock().unwrap().pop_front() {
        Some(DownloadFault::EndAfter(length)) => bytes.truncate(length),
        Some(DownloadFault::LastByte) => *bytes.last_mut().unwrap() ^= 1,
        None => (),
    }
    (status, bytes).into_response()
}
