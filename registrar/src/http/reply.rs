//! Errors as HTTP replies.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bootstash_base::error::{Chain, Classified, ErrorClass};
use bootstash_net::api::ErrorBody;
use bootstash_net::download_limits::Downloads;
use std::time::Duration;

/// A refusal.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    body: ErrorBody,
    retry_after: Option<Duration>,
}

/// When to retry; who does adds a random part of it, so that not all do at once.
const RETRY_AFTER: Duration = Duration::from_secs(2);

impl Refusal {
    /// There is nothing of that name.
    pub(super) fn not_found(error: String) -> Self {
        let body = ErrorBody { error, kind: ErrorClass::Permanent };
        Self { status: StatusCode::NOT_FOUND, body, retry_after: None }
    }

    /// It cannot be done like this.
    pub(super) fn conflict(error: String) -> Self {
        let body = ErrorBody { error, kind: ErrorClass::Permanent };
        Self { status: StatusCode::CONFLICT, body, retry_after: None }
    }

    /// It was there once.
    pub(super) fn gone(error: String) -> Self {
        let body = ErrorBody { error, kind: ErrorClass::Permanent };
        Self { status: StatusCode::GONE, body, retry_after: None }
    }

    /// It cannot be had now; asking again may help.
    pub(super) fn unavailable(error: String) -> Self {
        let body = ErrorBody { error, kind: ErrorClass::Transient };
        Self { status: StatusCode::SERVICE_UNAVAILABLE, body, retry_after: None }
    }

    /// Enough is being downloaded.
    pub(super) fn busy(downloads: &Downloads) -> Self {
        downloads.refused();
        let error = "enough downloads are under way here; retry later".to_owned();
        let body = ErrorBody { error, kind: ErrorClass::Busy };
        Self { status: StatusCode::SERVICE_UNAVAILABLE, body, retry_after: Some(RETRY_AFTER) }
    }

    /// The request itself is wrong.
    pub(super) fn bad_request(error: &dyn std::error::Error) -> Self {
        let body = ErrorBody { error: Chain(error).to_string(), kind: ErrorClass::Permanent };
        Self { status: StatusCode::BAD_REQUEST, body, retry_after: None }
    }
}

impl<E: Classified + 'static> From<E> for Refusal {
    fn from(error: E) -> Self {
        let status = match error.kind() {
            ErrorClass::Permanent | ErrorClass::Busy => StatusCode::CONFLICT,
            ErrorClass::Transient | ErrorClass::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
            ErrorClass::Operator => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let body = ErrorBody { error: Chain(&error).to_string(), kind: error.kind() };
        Self { status, body, retry_after: None }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let reply = (self.status, Json(self.body));
        match self.retry_after {
            Some(wait) => ([(header::RETRY_AFTER, wait.as_secs().to_string())], reply).into_response(),
            None => reply.into_response(),
        }
    }
}
