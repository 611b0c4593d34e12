//! An error as an HTTP answer: its kind decides the status.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bootstash_base::error::{Chain, Classified, ErrorClass};
use bootstash_net::api::ErrorBody;
use std::fmt::Display;
use std::time::Duration;

/// An answer that is no success.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    body: ErrorBody,
    retry_after: Option<Duration>,
}

impl Refusal {
    /// The request itself is wrong.
    pub(crate) fn malformed(error: impl Display) -> Self {
        let body = ErrorBody { error: error.to_string(), kind: ErrorClass::Permanent };
        Self { status: StatusCode::BAD_REQUEST, body, retry_after: None }
    }

    /// There is nothing of that name.
    pub(crate) fn missing(error: String) -> Self {
        Self::malformed(error).with(StatusCode::NOT_FOUND)
    }

    /// There is enough to do; when to retry.
    pub(crate) fn busy(error: &str, retry_after: Duration) -> Self {
        let body = ErrorBody { error: error.to_owned(), kind: ErrorClass::Busy };
        Self { status: StatusCode::SERVICE_UNAVAILABLE, body, retry_after: Some(retry_after) }
    }

    /// The same, with another status.
    pub(crate) fn with(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// What was asked for could not be written as an answer.
    pub(crate) fn internal(error: &dyn std::error::Error) -> Self {
        let body = ErrorBody { error: error.to_string(), kind: ErrorClass::Operator };
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, body, retry_after: None }
    }
}

impl<E: Classified> From<E> for Refusal {
    fn from(error: E) -> Self {
        let kind = error.kind();
        let body = ErrorBody { error: Chain(&error).to_string(), kind };
        Self { status: status_of(kind), body, retry_after: None }
    }
}

fn status_of(kind: ErrorClass) -> StatusCode {
    match kind {
        ErrorClass::Permanent | ErrorClass::Busy => StatusCode::CONFLICT,
        ErrorClass::Transient | ErrorClass::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        ErrorClass::Operator => StatusCode::INTERNAL_SERVER_ERROR,
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
