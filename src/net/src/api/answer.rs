//! Reading answers: whole, but never more than any of ours has. Who answers is a member, and may be hostile.

use super::{CallError, Endpoint, ErrorBody, TransportError};
use bootstash_base::error::ErrorClass;
use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// In bytes; the log of ten thousand snapshots has about four million.
const LONGEST: usize = 64 << 20;
/// In bytes, of what says why not.
const LONGEST_REFUSAL: usize = 64 << 10;
/// A daemon that says to retry later than this is not believed.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// A body was not read whole.
#[derive(Debug, thiserror::Error)]
enum BodyError {
    #[error("the answer broke off")]
    Broken(#[source] reqwest::Error),
    #[error("the answer is longer than {limit} bytes")]
    Long { limit: usize },
}

/// The answer's body as JSON. One that breaks off is no answer.
pub(super) async fn json<T: DeserializeOwned>(
    response: Response,
    endpoint: &Endpoint,
) -> Result<T, CallError> {
    json_within(LONGEST, response, endpoint).await
}

async fn json_within<T: DeserializeOwned>(
    limit: usize,
    response: Response,
    endpoint: &Endpoint,
) -> Result<T, CallError> {
    let read = match whole(response, limit).await {
        Ok(body) => serde_json::from_slice(&body).map_err(Into::into),
        Err(long @ BodyError::Long { .. }) => Err(long.into()),
        Err(broken @ BodyError::Broken(_)) => {
            let source = TransportError::new(broken);
            return Err(CallError::Unreachable { endpoint: endpoint.clone(), source });
        }
    };
    read.map_err(|source| CallError::Answer { endpoint: endpoint.clone(), source })
}

/// What an answer that is no success says. Its status says enough where the rest cannot be read.
pub(super) async fn refusal(response: Response, endpoint: &Endpoint) -> CallError {
    let status = response.status();
    let retry_after = retry_after(&response);
    let body = whole(response, LONGEST_REFUSAL).await.ok();
    let body = body.and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_else(|| ErrorBody {
        error: format!("the daemon answered {status}"),
        kind: if status.is_server_error() { ErrorClass::Transient } else { ErrorClass::Permanent },
        expelled: None,
    });
    if let Some(identity) = body.expelled {
        return CallError::Expelled { endpoint: endpoint.clone(), identity };
    }
    match retry_after {
        Some(retry_after) => CallError::Busy { error: body.error, retry_after },
        None => CallError::Refused { status: status.as_u16(), error: body.error, kind: body.kind },
    }
}

/// What an answer of 503 says of it, in seconds.
fn retry_after(response: &Response) -> Option<Duration> {
    if response.status() != StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
}

async fn whole(mut response: Response, limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    let broken = |error: reqwest::Error| BodyError::Broken(error.without_url());
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if body.len() + chunk.len() > limit {
            return Err(BodyError::Long { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootstash_base::error::Classified;
    use futures::{Stream, StreamExt, stream};
    use std::io;

    type Piece = io::Result<Vec<u8>>;

    fn response(status: u16, pieces: impl Stream<Item = Piece> + Send + 'static) -> Response {
        let mut response = axum::http::Response::new(reqwest::Body::wrap_stream(pieces));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response.into()
    }

    fn pieces(pieces: &[&str]) -> impl Stream<Item = Piece> + Send + 'static {
        let pieces: Vec<Piece> = pieces.iter().map(|piece| Ok(piece.as_bytes().to_vec())).collect();
        stream::iter(pieces)
    }

    /// Goes on for as long as somebody reads.
    fn endless() -> impl Stream<Item = Piece> + Send + 'static {
        stream::repeat_with(|| Ok(vec![b' '; 4096]))
    }

    async fn read(limit: usize, response: Response) -> Result<Vec<u8>, CallError> {
        json_within(limit, response, &Endpoint::Tcp("https://storage:7430".to_owned())).await
    }

    #[tokio::test]
    async fn an_answer_is_read_up_to_its_limit() {
        assert_eq!(read(6, response(200, pieces(&["[1, ", "2]"]))).await.unwrap(), [1, 2]);
        let long = read(5, response(200, pieces(&["[1, ", "2]"]))).await.unwrap_err();
        assert!(matches!(long, CallError::Answer { .. }) && long.kind() == ErrorClass::Operator, "{long:?}");
        assert!(matches!(read(1 << 20, response(200, endless())).await, Err(CallError::Answer { .. })));
        assert!(matches!(read(99, response(200, pieces(&["no"]))).await, Err(CallError::Answer { .. })));
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_none() {
        let broken = stream::iter([Err(io::ErrorKind::ConnectionReset.into())]);
        let answer = read(99, response(200, pieces(&["[1, "]).chain(broken))).await.unwrap_err();
        assert!(matches!(answer, CallError::Unreachable { .. }), "{answer:?}");
        assert_eq!(answer.kind(), ErrorClass::Transient);
    }

    #[tokio::test]
    async fn a_refusal_without_end_is_known_by_its_status() {
        let endpoint = Endpoint::Tcp("https://storage:7430".to_owned());
        let refused = refusal(response(409, endless()), &endpoint).await;
        assert!(matches!(refused, CallError::Refused { status: 409, .. }), "{refused:?}");
        let text = r#"{ "error": "no", "kind": "busy" }"#;
        let refused = refusal(response(409, pieces(&[text])), &endpoint).await;
        assert!(refused.to_string() == "no" && refused.kind() == ErrorClass::Busy, "{refused:?}");
        let text = r#"{ "error": "no", "kind": "operator", "expelled": "node:c1" }"#;
        let refused = refusal(response(403, pieces(&[text])), &endpoint).await;
        assert_eq!(
            refused.to_string(),
            "node c1 was expelled by https://storage:7430; ask for an invitation there (`bootstash node invite c1`) \
             and join again: `bootstash-agent join https://storage:7430 TOKEN`"
        );
    }
}
