//! An error as an HTTP answer: its kind decides the status.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bootstash::api::ErrorBody;
use bootstash::fault::{Chain, Fault, FaultKind};
use std::fmt::Display;

/// An answer that is no success.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    body: ErrorBody,
}

impl Refusal {
    /// The request itself is wrong.
    pub(super) fn malformed(error: impl Display) -> Self {
        let body = ErrorBody { error: error.to_string(), kind: FaultKind::Permanent };
        Self { status: StatusCode::BAD_REQUEST, body }
    }

    /// The same, with another status.
    pub(super) fn with(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// What was asked for could not be written as an answer.
    pub(super) fn internal(error: &dyn std::error::Error) -> Self {
        let body = ErrorBody { error: error.to_string(), kind: FaultKind::Operator };
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, body }
    }
}

impl<E: Fault> From<E> for Refusal {
    fn from(error: E) -> Self {
        let kind = error.kind();
        Self { status: status_of(kind), body: ErrorBody { error: Chain(&error).to_string(), kind } }
    }
}

fn status_of(kind: FaultKind) -> StatusCode {
    match kind {
        FaultKind::Permanent | FaultKind::Busy => StatusCode::CONFLICT,
        FaultKind::Transient | FaultKind::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        FaultKind::Operator => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}
