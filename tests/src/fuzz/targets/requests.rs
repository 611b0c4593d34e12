//! Requests as text, `POST /v1/gc` and a body on the lines after, so that an input that failed can be read;
//! and what goes over the wire the other way, from servers that may be anybody.

use crate::fuzz::{Reader, Verdict, bytes, json};
use anyhow::ensure;
use axum::body::Body;
use axum::http::Request;
use bootstash_base::names::{Guid, SnapshotName};
use bootstash_delta::replication::{self, Plan};
use bootstash_delta::{DeltaRecord, VolumeLog};
use bootstash_multicast::Report;
use bootstash_net::api::*;
use bootstash_zfs::Snapshot;
use chrono::DateTime;
use fastrand::Rng;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn snapshot(number: u64) -> Snapshot {
    let name = SnapshotName::new(number, DateTime::UNIX_EPOCH);
    Snapshot { name, guid: Guid::new(number), created: DateTime::UNIX_EPOCH }
}

fn log() -> LogReply {
    let delta = |from: u64| DeltaRecord {
        file: format!("{from}-{}.bsd", from + 1),
        from: Some(Guid::new(from)),
        to: Guid::new(from + 1),
        to_name: snapshot(from + 1).name,
        bytes: 4096,
        digest: blake3::hash(b"").to_hex().to_string(),
    };
    let snapshots = (1..6).map(snapshot).collect();
    let log = VolumeLog { snapshots, deltas: (1..5).map(delta).collect(), collected: vec![Guid::new(0)] };
    LogReply { log, ..LogReply::default() }
}

fn report() -> NodeReport {
    let peer = PeerAdvertisement {
        port: 7432,
        advertise: Some("c17:80".to_owned()),
        holds: vec!["00".to_owned(); 3],
    };
    NodeReport {
        head: Some(snapshot(3)),
        version: "0.1.0".to_owned(),
        problem: None,
        peer: Some(peer),
        multicast_ok: true,
        host: "00ff.7c".parse().ok(),
    }
}

fn hearing() -> serde_json::Value {
    let deficit = serde_json::json!({ "block": 1, "missing": 3, "repair_seen": 0 });
    serde_json::json!({
        "session": "00112233445566ff", "next_session": null, "standing": "listening", "beat": 7,
        "expected": 100, "heard": 97, "deficits": [deficit],
    })
}

fn pieces() -> PiecesRequest {
    PiecesRequest { ranges: vec![0..1408, 2816..4096] }
}

pub(super) fn bodies() -> Vec<Vec<u8>> {
    let error =
        ErrorBody { error: "no".to_owned(), kind: bootstash_base::error::ErrorClass::Busy, expelled: None };
    let token = Secret::new("bootstash-AAAA".to_owned());
    let request_pem = include_str!("request.pem").to_owned();
    let join = JoinRequest { token, request_pem, by: Joiner::Agent };
    let bodies = [
        to_json(&log()),
        to_json(&report()),
        to_json(&error),
        to_json(&join),
        to_json(&hearing()),
        to_json(&pieces()),
    ];
    bodies.into_iter().flatten().collect()
}

fn to_json(value: &impl Serialize) -> Option<Vec<u8>> {
    serde_json::to_vec(value).ok()
}

/// What an agent and the command read of what others send.
pub(super) fn open_bodies() -> Reader {
    Box::new(|text| {
        let log = stays::<LogReply>(text)?;
        if let Some(LogReply { log, .. }) = &log {
            (0..4)
                .map(|held| (1..held + 1).map(snapshot).collect::<Vec<_>>())
                .try_for_each(|node| plan(&node, log))?;
        }
        let read = [
            log.is_some(),
            stays::<NodeReport>(text)?.is_some_and(|report| report.peer.is_none_or(|peer| is_bare(&peer))),
            stays::<ErrorBody>(text)?.is_some(),
            stays::<JoinRequest>(text)?.is_some(),
            stays::<AgentStatus>(text)?.is_some(),
            stays::<RegistrarStatus>(text)?.is_some(),
            stays::<Vec<OverlayStatus>>(text)?.is_some(),
            stays::<JobView>(text)?.is_some(),
            stays::<Report>(text)?.is_some(),
            stays::<ReportReply>(text)?.is_some(),
            stays::<MulticastFindings>(text)?.is_some(),
            stays::<PiecesRequest>(text)?.is_some_and(|pieces| pieces.bytes(1 << 20).is_some()),
        ];
        Ok(if read.contains(&true) { Verdict::Accepted } else { Verdict::Refused })
    })
}

fn stays<T: Serialize + DeserializeOwned>(text: &[u8]) -> anyhow::Result<Option<T>> {
    let Ok(read) = serde_json::from_slice::<T>(text) else { return Ok(None) };
    let written = serde_json::to_value(&read)?;
    let again = serde_json::to_value(serde_json::from_value::<T>(written.clone())?)?;
    ensure!(again == written, "written again it is another: {written}");
    Ok(Some(read))
}

fn is_bare(advertisement: &PeerAdvertisement) -> bool {
    let url = advertisement.url([10, 0, 0, 1].into());
    url.is_none_or(|url| url.matches('/').count() == 2 && !url.contains('@'))
}

/// The promises of `replication`.
fn plan(node: &[Snapshot], log: &VolumeLog) -> anyhow::Result<()> {
    let Plan::Apply(deltas) = replication::plan(node, log) else { return Ok(()) };
    ensure!(!deltas.is_empty() && deltas.len() <= log.deltas.len(), "{} deltas", deltas.len());
    let starts = deltas.iter().map(|delta| delta.from);
    let ends = node.last().map(|head| head.guid).into_iter().chain(deltas.iter().map(|delta| delta.to));
    ensure!(
        starts.zip(ends).all(|(start, end)| start == Some(end)),
        "the deltas do not follow on each other"
    );
    let newest = log.snapshots.last().map(|newest| newest.guid);
    ensure!(deltas.last().map(|last| last.to) == newest, "they do not lead to the newest snapshot");
    Ok(())
}

fn with_body(line: &str, body: &impl Serialize) -> Vec<u8> {
    [line.as_bytes(), b"\n", &to_json(body).unwrap_or_default()].concat()
}

fn lines(lines: &[&str]) -> Vec<Vec<u8>> {
    lines.iter().map(|line| format!("{line}\n").into_bytes()).collect()
}

pub(super) fn to_registrar() -> Vec<Vec<u8>> {
    let source = "/srv/images/debian12.raw";
    let register = RegisterRequest::new("debian12", source);
    let gc = GcQuery { dry_run: true, window_seconds: Some(3600) };
    let mut seeds = lines(&[
        "GET /v1/images",
        "DELETE /v1/images/debian12?publish=true",
        "GET /v1/jobs",
        "GET /v1/nodes",
        "GET /v1/status",
        "GET /v1/volume/restore",
        "GET /v1/members",
        "DELETE /v1/members?identity=node:c9",
        "GET /metrics",
        "GET /v1/log?after=7&expelled=1&wait_seconds=1",
        "GET /v1/full",
    ]);
    seeds.push(with_body("POST /v1/images", &register));
    seeds.push(with_body("POST /v1/gc", &gc));
    seeds.push(with_body("POST /v1/nodes/c17/report", &report()));
    let invite = serde_json::json!({ "identity": "node:c9", "lifetime_seconds": 60 });
    let renew = RenewRequest { request_pem: include_str!("request.pem").to_owned() };
    seeds.push(with_body("POST /v1/invitations", &invite));
    seeds.push(with_body("POST /v1/renewal", &renew));
    seeds
}

pub(super) fn to_agent() -> Vec<Vec<u8>> {
    let mut seeds = lines(&[
        "GET /v1/status",
        "GET /v1/images",
        "GET /v1/overlays",
        "DELETE /v1/overlays?path=%2Fno%2Fsuch%2Fa.qcow2",
        "GET /metrics",
        "GET /v1/log",
    ]);
    seeds.push(with_body("POST /v1/gc", &GcQuery { dry_run: true, window_seconds: Some(3600) }));
    seeds
}

/// The line or the body, as bytes or as JSON.
pub(super) fn mutate(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let seed = super::super::pick(rng, seeds);
    let end = seed.iter().position(|byte| *byte == b'\n').unwrap_or(seed.len() - 1);
    let (line, body) = (seed[..end].to_vec(), seed[end + 1..].to_vec());
    match rng.u32(..4) {
        0 => bytes::mutate(rng, seeds),
        1 | 2 if !body.is_empty() => [line.as_slice(), b"\n", &json::mutate(rng, &[body])].concat(),
        _ => [&bytes::mutate(rng, &[line])[..], b"\n", &body].concat(),
    }
}

/// A request as a server gets it from its HTTP layer; none where that would already refuse it.
pub(super) fn parse(text: &[u8]) -> Option<(Request<Body>, Vec<u8>)> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    let (line, body) = (std::str::from_utf8(&text[..end]).ok()?, text[end + 1..].to_vec());
    let (method, target) = line.split_once(' ')?;
    let request = Request::builder().method(method).uri(target).header("content-type", "application/json");
    request.body(Body::from(body.clone())).ok().map(|request| (request, body))
}
