//! What becomes of one request: how it is delivered, and its answer's body piece by piece.

use super::host::{Host, Life};
use super::network::{Answer, FaultRates};
use axum::http::StatusCode;
use axum::http::response::Parts;
use axum::response::IntoResponse;
use bootstash_net::api::routes;
use bytes::Bytes;
use futures::stream;
use std::io;

/// How many whole volumes in a thousand are cut, where the network cuts at all.
const CUT_STREAMS: u32 = 500;

/// What becomes of a request and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// All goes well.
    Fine,
    /// It never arrives.
    Lost,
    /// It arrives when its sender has timed out, and maybe tried again.
    Late,
    /// It arrives, and the answer does not.
    AnswerLost,
    /// Something on the way answers in the daemon's place.
    Refused,
    /// The answer's body breaks off.
    Cut,
    /// A byte of the answer's body is another, where there is a digest to see it by.
    Damaged,
}

/// Draws what becomes of the next request. A whole volume takes long, and is cut more often.
pub(super) fn delivery(host: &Host, faults: FaultRates, path: &str) -> Delivery {
    if path == routes::STREAM && faults.cut > 0 && host.happens(CUT_STREAMS) {
        return Delivery::Cut;
    }
    let deliveries = [
        (faults.lost, Delivery::Lost),
        (faults.repeated, Delivery::Late),
        (faults.answer_lost, Delivery::AnswerLost),
        (faults.refused, Delivery::Refused),
        (faults.cut, Delivery::Cut),
        (faults.damaged, Delivery::Damaged),
    ];
    let mut drawn = host.draw(|rng| rng.u32(0..1000));
    for (likely, delivery) in deliveries {
        if drawn < likely {
            return delivery;
        }
        drawn -= likely;
    }
    Delivery::Fine
}

/// What a proxy in front of a daemon that is overloaded says.
pub(super) fn refusal() -> Answer {
    let (parts, _) = StatusCode::SERVICE_UNAVAILABLE.into_response().into_parts();
    Answer::new(parts, Bytes::from_static(b"no healthy upstream"))
}

/// A body on its way.
struct Way {
    rest: Bytes,
    piece_bytes: usize,
    /// What is left when it is cut.
    cut_at: Option<usize>,
    to: Life,
    from: Life,
}

/// The answer as who asked sees it: its body comes in pieces.
pub(super) fn response(
    parts: Parts,
    body: Bytes,
    delivery: Delivery,
    to: Life,
    from: Life,
) -> reqwest::Response {
    let host = std::sync::Arc::clone(&to.host);
    let is_data = parts.headers.get("content-type").is_none_or(|it| it != "application/json");
    let body = if delivery == Delivery::Damaged && is_data { damaged(&body, &host) } else { body };
    // What is drawn must not depend on the length, in which there can be a real time.
    let cut_at =
        (delivery == Delivery::Cut).then(|| body.len() * host.draw(|rng| rng.usize(0..=1000)) / 1000);
    let pieces = host.draw(|rng| rng.usize(1..=4));
    let way = Way { piece_bytes: body.len().div_ceil(pieces).max(1), rest: body, cut_at, to, from };
    let body = reqwest::Body::wrap_stream(stream::unfold(Some(way), next));
    axum::http::Response::from_parts(parts, body).into()
}

fn damaged(body: &Bytes, host: &Host) -> Bytes {
    let mut bytes = body.to_vec();
    if !bytes.is_empty() {
        let at = bytes.len() * host.draw(|rng| rng.usize(0..1000)) / 1000;
        bytes[at] ^= 1;
    }
    bytes.into()
}

async fn next(way: Option<Way>) -> Option<(io::Result<Bytes>, Option<Way>)> {
    let mut way = way?;
    if way.rest.is_empty() && way.cut_at.is_none() {
        return None;
    }
    way.to.pause(0, 80).await;
    let left = way.rest.len();
    if way.from.is_killed() || way.cut_at.is_some_and(|cut| cut >= left) {
        return Some((Err(io::ErrorKind::ConnectionReset.into()), None));
    }
    let most = way.cut_at.map_or(left, |cut| left - cut);
    let piece = way.rest.split_to(way.piece_bytes.min(most));
    Some((Ok(piece), Some(way)))
}
