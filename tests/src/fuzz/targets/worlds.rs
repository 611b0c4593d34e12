//! A registrar and an agent on a ZFS in memory, asked by anybody: whatever is asked, they answer.

use super::requests;
use crate::enrolment;
use crate::fuzz::{Reader, Verdict};
use crate::replication::{OverlayFiles, SyntheticCapturer};
use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::Request;
use bootstash_agent::http::{Peer, Site, command_routes};
use bootstash_agent::layout::Layout;
use bootstash_agent::metrics::Metrics;
use bootstash_agent::multicast::Doctor;
use bootstash_agent::peer::{self, PeerCache, PeerSite};
use bootstash_agent::volume::Volume;
use bootstash_base::impersonate::UnixPeer;
use bootstash_daemon::config::{AgentConfig, MulticastReceiverConfig, PeersConfig, RegistrarConfig};
use bootstash_net::api::{AgentState, Client, Endpoint, RegisterRequest, RestoreRequest, routes};
use bootstash_net::download_limits::Downloads;
use bootstash_net::identity;
use bootstash_registrar::assembly::Registrar;
use bootstash_registrar::ca::Members;
use bootstash_registrar::download_limits::DownloadLimits;
use bootstash_zfs::Zfs;
use bootstash_zfs::fake::FakeZfs;
use chrono::{DateTime, TimeDelta, Utc};
use serde::de::DeserializeOwned;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// More than any answer of a daemon that holds nothing.
const LONGEST_ANSWER_BYTES: usize = 1 << 20;
/// After this many requests another world takes over: nodes and jobs that were heard of are kept.
const REQUESTS_EACH: u64 = 5000;
/// What comes from the network, in contrast to the command's socket.
const FROM: &str = "10.0.0.9:4711";
/// Whoever has a certificate, and one who has none.
const CALLERS: [Option<&str>; 4] = [None, Some("node:c17"), Some("operator:ada"), Some("monitor:prom")];

/// A daemon's routes, and what keeps it running.
struct World {
    runtime: Runtime,
    routes: Vec<Router>,
    _dir: TempDir,
    stop: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(super) fn open_registrar() -> Reader {
    open(registrar)
}

pub(super) fn open_agent() -> Reader {
    open(agent)
}

fn open(make: fn() -> Result<World>) -> Reader {
    let (mut world, mut requests) = (None, 0);
    Box::new(move |text| {
        let Some((request, body)) = requests::parse(text) else { return Ok(Verdict::Refused) };
        if reaches_out(&request, &body) {
            return Ok(Verdict::Accepted);
        }
        if requests % REQUESTS_EACH == 0 {
            world = Some(make()?);
        }
        requests += 1;
        world.as_ref().context("no world")?.ask(&request, &body)
    })
}

/// What would call other hosts, or begin a job for each input.
fn reaches_out(request: &Request<Body>, body: &[u8]) -> bool {
    match request.uri().path() {
        routes::RESTORE => is::<RestoreRequest>(body),
        routes::IMAGES => is::<RegisterRequest>(body) && blake3::hash(body).as_bytes()[0] != 0,
        _ => false,
    }
}

fn is<T: DeserializeOwned>(body: &[u8]) -> bool {
    serde_json::from_slice::<T>(body).is_ok()
}

impl World {
    /// Asks all routes, as everybody who could.
    fn ask(&self, request: &Request<Body>, body: &[u8]) -> Result<Verdict> {
        let mut verdict = Verdict::Refused;
        let everybody =
            CALLERS.iter().flat_map(|caller| self.routes.iter().map(move |routes| (caller, routes)));
        for (caller, routes) in everybody {
            let mut request = request.clone_with(body);
            let extensions = request.extensions_mut();
            extensions.insert(ConnectInfo(FROM.parse::<SocketAddr>()?));
            extensions.insert(ConnectInfo(Peer(UnixPeer::ourselves())));
            extensions.insert(member(*caller)?);
            let (status, answer) = self.runtime.block_on(async {
                let answer = routes.clone().oneshot(request).await?;
                let status = answer.status();
                Ok::<_, anyhow::Error>((status, to_bytes(answer.into_body(), LONGEST_ANSWER_BYTES).await?))
            })?;
            ensure!(status.as_u16() != 500, "a fault of the server: {}", String::from_utf8_lossy(&answer));
            if status.is_success() {
                verdict = Verdict::Accepted;
            }
        }
        Ok(verdict)
    }
}

/// What TLS would have told.
fn member(identity: Option<&str>) -> Result<identity::Principal> {
    let Some(identity) = identity else { return Ok(identity::Principal::Unauthenticated) };
    Ok(identity::Principal::Member { identity: identity.parse()?, serial: serde_json::from_str("\"00\"")? })
}

trait CloneWith {
    fn clone_with(&self, body: &[u8]) -> Request<Body>;
}

impl CloneWith for Request<Body> {
    fn clone_with(&self, body: &[u8]) -> Request<Body> {
        let mut copy = Request::new(Body::from(body.to_vec()));
        *copy.method_mut() = self.method().clone();
        *copy.uri_mut() = self.uri().clone();
        *copy.headers_mut() = self.headers().clone();
        copy
    }
}

/// Where `paused`, waits for news end at once: while nothing else is to be done, its clock goes ahead. Files are then
/// read on this thread, as no time passes while another reads them.
fn runtime(paused: bool) -> Result<Runtime> {
    if paused {
        bootstash_base::clock::set(time_of_day);
    }
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().start_paused(paused).build()?)
}

fn time_of_day() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_780)
}

fn registrar() -> Result<World> {
    let (dir, runtime, stop) = (tempfile::tempdir()?, runtime(true)?, CancellationToken::new());
    let config = registrar_config(dir.path())?;
    enrolment::init(&config.state_dir)?;
    let members = Members::load(&config.identity_dir(), enrolment::LIFETIME, 7430)?;
    let registrar = runtime.block_on(Registrar::start(
        &config,
        DownloadLimits::new(&config.serving),
        Arc::new(members),
        Arc::new(FakeZfs::seeded(1)),
        Arc::new(SyntheticCapturer::default()),
        stop.clone(),
    ))?;
    let routes = vec![registrar.operator_routes(), registrar.network_routes()];
    Ok(World { runtime, routes, _dir: dir, stop })
}

fn registrar_config(dir: &Path) -> Result<RegistrarConfig> {
    let text = format!("dataset = \"tank/bootstash\"\nstate_dir = \"{}\"", dir.display());
    Ok(toml::from_str(&text)?)
}

fn agent() -> Result<World> {
    let (dir, runtime, stop) = (tempfile::tempdir()?, runtime(false)?, CancellationToken::new());
    let (zfs, layout) =
        (Arc::new(FakeZfs::seeded(1)), Layout::of(&agent_config(dir.path())?, &"c17".parse()?)?);
    let (ours, theirs) = (dir.path().join("state"), dir.path().join("registrar"));
    enrolment::init(&theirs)?;
    enrolment::enrol(&theirs, &ours, "c17")?;
    let routes = runtime.block_on(agent_routes(zfs, layout, enrolment::store(&ours)?, stop.clone()))?;
    Ok(World { runtime, routes, _dir: dir, stop })
}

async fn agent_routes(
    zfs: Arc<dyn Zfs>,
    layout: Layout,
    credentials: identity::CredentialStore,
    stop: CancellationToken,
) -> Result<Vec<Router>> {
    let volume = Volume::open(Arc::clone(&zfs), Arc::new(OverlayFiles), layout.clone(), stop).await?;
    let (handle, orders) = volume.handle();
    tokio::spawn(volume.run(orders));
    let downloads = Downloads::new(PeersConfig::default().limits());
    let cache = PeerCache::open(layout.peer_cache_dir.clone(), 1 << 20).await?;
    let peers = PeerSite { cache, downloads, volume: handle.clone(), zfs: Arc::clone(&zfs) };
    let nobody = Client::new(Endpoint::Tcp("http://127.0.0.1:1".to_owned()))?;
    let site = Site {
        doctor: Doctor::new(nobody, MulticastReceiverConfig::default()),
        node: "c17".parse()?,
        registrar: "https://127.0.0.1:1".to_owned(),
        zfs,
        layout,
        volume: handle,
        following: tokio::sync::watch::Sender::new(AgentState::Starting).subscribe(),
        identity_conflict: tokio::sync::watch::Sender::new(None).subscribe(),
        metrics: Metrics::new(),
        credentials,
        keep: Duration::from_secs(3600).into(),
    };
    Ok(vec![command_routes(site), peer::routes(peers)])
}

fn agent_config(dir: &Path) -> Result<AgentConfig> {
    let dir = dir.display();
    Ok(toml::from_str(&format!(
        "registrar = \"https://127.0.0.1:1\"\ndataset = \"tank/bootstash\"\nstate_dir = \"{dir}/state\"\n\
         views_dir = \"{dir}/views\"\noverlay_dirs = [\"{dir}\"]"
    ))?)
}
