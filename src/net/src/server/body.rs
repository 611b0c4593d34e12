//! What a request brings along: read whole before anybody looks at it, as it is always small.

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use std::time::Duration;
use tokio::time::timeout;

/// No request of ours is larger.
const LIMIT_BYTES: usize = 64 << 10;

/// The request with its whole body, or what is answered to one that sends too much or too slowly.
pub(super) async fn whole(request: Request<Incoming>, in_time: Duration) -> Result<Request<Body>, Response> {
    let (head, body) = request.into_parts();
    match timeout(in_time, to_bytes(Body::new(body), LIMIT_BYTES)).await {
        Ok(Ok(bytes)) => Ok(Request::from_parts(head, Body::from(bytes))),
        Ok(Err(_)) => Err(StatusCode::PAYLOAD_TOO_LARGE.into_response()),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT.into_response()),
    }
}
