//! An HTTP error reply: a status, and an [`ErrorBody`] that a client turns back into an error of the same class.
//!
//! Promises: whatever is [`Classified`] becomes a reply by `?`, with its whole chain of causes on one line; its
//! class alone decides the status.

use crate::api::ErrorBody;
use crate::download_limits::Downloads;
use crate::identity::Identity;
use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bootstash_base::error::{Chain, Classified, ErrorClass};
use std::error::Error;
use std::time::Duration;

/// Whoever has to wait adds a random part of this, so that not all come back at once.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// A reply that is no success.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    body: ErrorBody,
    retry_after: Option<Duration>,
}

impl Refusal {
    fn new(status: StatusCode, kind: ErrorClass, error: impl Into<String>) -> Self {
        Self { status, body: ErrorBody { error: error.into(), kind, expelled: None }, retry_after: None }
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(error: &dyn Error) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorClass::Permanent, Chain(error).to_string())
    }

    /// 401: the caller has to show a certificate first.
    pub fn unauthorized(error: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, ErrorClass::Operator, error)
    }

    /// 403: the caller lacks the permission.
    pub fn forbidden(error: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, ErrorClass::Permanent, error)
    }

    /// 403: the caller's certificate was taken back, and all that is left is to tell them so.
    pub fn expelled(identity: &Identity) -> Self {
        let error = format!("{identity} was expelled; ask for an invitation, and join again");
        let mut refusal = Self::new(StatusCode::FORBIDDEN, ErrorClass::Operator, error);
        refusal.body.expelled = Some(identity.clone());
        refusal
    }

    /// 404: there is nothing of that name.
    pub fn not_found(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorClass::Permanent, error)
    }

    /// 409: the state of what is here does not allow it.
    pub fn conflict(error: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, ErrorClass::Permanent, error)
    }

    /// 410: it was here once.
    pub fn gone(error: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, ErrorClass::Permanent, error)
    }

    /// 500: the reply itself could not be made.
    pub fn internal(error: &dyn Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorClass::Operator, Chain(error).to_string())
    }

    /// 503: it cannot be had now, and asking again may help.
    pub fn unavailable(error: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorClass::Transient, error)
    }

    /// 503 with `Retry-After`: enough is being downloaded. Counts the refusal.
    pub fn busy(downloads: &Downloads) -> Self {
        downloads.refused();
        let error = "enough downloads are under way here; retry later";
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorClass::Busy, error);
        Self { retry_after: Some(RETRY_AFTER), ..refusal }
    }

    /// The same reply with another status than its class would have.
    #[must_use]
    pub fn with(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }
}

impl<E: Classified> From<E> for Refusal {
    fn from(error: E) -> Self {
        let kind = error.kind();
        Self::new(status_of(kind), kind, Chain(&error).to_string())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::download_limits::Limits;
    use axum::body::to_bytes;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the volume")]
    struct Failed(ErrorClass, #[source] std::io::Error);

    impl Classified for Failed {
        fn kind(&self) -> ErrorClass {
            self.0
        }
    }

    async fn parts(refusal: impl Into<Refusal>) -> (u16, Option<String>, ErrorBody) {
        let (head, body) = refusal.into().into_response().into_parts();
        let retry_after = head.headers.get(header::RETRY_AFTER).map(|it| it.to_str().unwrap().to_owned());
        let body = serde_json::from_slice(&to_bytes(body, 1000).await.unwrap()).unwrap();
        (head.status.as_u16(), retry_after, body)
    }

    #[tokio::test]
    async fn the_class_decides_the_status_and_the_body_has_all_causes() {
        for (kind, status) in [
            (ErrorClass::Permanent, 409),
            (ErrorClass::Busy, 409),
            (ErrorClass::Transient, 503),
            (ErrorClass::Cancelled, 503),
            (ErrorClass::Operator, 500),
        ] {
            let (sent, retry_after, body) = parts(Failed(kind, std::io::Error::other("no disk"))).await;
            assert_eq!((sent, retry_after, body.kind), (status, None, kind));
            assert_eq!(body.error, "cannot read the volume: no disk");
        }
    }

    #[tokio::test]
    async fn one_refused_for_want_of_room_is_counted_and_told_when_to_retry() {
        let downloads = Downloads::new(Limits { downloads: 0, full: 0, rate_bytes_per_second: None });
        let (status, retry_after, body) = parts(Refusal::busy(&downloads)).await;
        assert_eq!((status, retry_after.as_deref(), body.kind), (503, Some("2"), ErrorClass::Busy));
        assert_eq!(downloads.refusals(), 1);
        let other = Refusal::conflict("it runs").with(StatusCode::GONE);
        assert_eq!(parts(other).await.0, 410);
    }
}
