//! Errors as HTTP replies.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bootstash::api::ErrorBody;
use bootstash::fault::{Chain, Fault, FaultKind};

/// A refusal.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    body: ErrorBody,
}

impl Refusal {
    /// There is nothing of that name.
    pub(super) fn not_found(error: String) -> Self {
        let body = ErrorBody { error, kind: FaultKind::Permanent };
        Self { status: StatusCode::NOT_FOUND, body }
    }

    /// It was there once.
    pub(super) fn gone(error: String) -> Self {
        let body = ErrorBody { error, kind: FaultKind::Permanent };
        Self { status: StatusCode::GONE, body }
    }

    /// It cannot be had now; asking again may help.
    pub(super) fn unavailable(error: String) -> Self {
        let body = ErrorBody { error, kind: FaultKind::Transient };
        Self { status: StatusCode::SERVICE_UNAVAILABLE, body }
    }

    /// The request itself is wrong.
    pub(super) fn bad_request(error: &dyn std::error::Error) -> Self {
        let body = ErrorBody { error: Chain(error).to_string(), kind: FaultKind::Permanent };
        Self { status: StatusCode::BAD_REQUEST, body }
    }
}

impl<E: Fault + 'static> From<E> for Refusal {
    fn from(error: E) -> Self {
        let status = match error.kind() {
            FaultKind::Permanent | FaultKind::Busy => StatusCode::CONFLICT,
            FaultKind::Transient | FaultKind::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
            FaultKind::Operator => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, body: ErrorBody { error: Chain(&error).to_string(), kind: error.kind() } }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}
