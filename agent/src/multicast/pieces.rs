//! Fetching just the parts that are lacking.

use super::MulticastError;
use bootstash_base::backoff::{self, Backoff};
use bootstash_base::error::{Chain, Classified, ErrorClass};
use bootstash_net::api::{CallError, Client, PiecesRequest, routes};
use std::ops::Range;
use std::time::Duration;
use tokio::time::timeout;

/// The longest without a byte of the answer: the registrar may share a low rate among many.
const READ_TIMEOUT: Duration = Duration::from_secs(90);
/// After this number of failures in a row it is given up.
const RETRIES: u32 = 6;
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(500), longest: Duration::from_secs(8) };

/// Parts that came: where, and what.
pub(super) type Pieces = Vec<(u64, Vec<u8>)>;

/// Fetches these ranges of the delta; waits its turn, and tries again where that may help.
pub(super) async fn fetch(
    registrar: Client,
    file: String,
    ranges: Vec<Range<u64>>,
) -> Result<Pieces, MulticastError> {
    let mut pieces = Vec::new();
    for ranges in ranges.chunks(PiecesRequest::RANGES_MAX) {
        pieces.extend(fetch_with_retries(&registrar, &file, ranges).await?);
    }
    Ok(pieces)
}

async fn fetch_with_retries(
    registrar: &Client,
    file: &str,
    ranges: &[Range<u64>],
) -> Result<Pieces, MulticastError> {
    let mut failures = 0;
    loop {
        let error = match fetch_once(registrar, file, ranges).await {
            Ok(pieces) => return Ok(pieces),
            Err(error) => error,
        };
        let pause = match &error {
            // A busy registrar works; only one that fails is given up.
            MulticastError::Call(CallError::Busy { retry_after, .. }) => {
                backoff::not_before(*retry_after, fastrand::f64())
            }
            error if error.kind() == ErrorClass::Transient && failures < RETRIES => {
                failures += 1;
                BACKOFF.jittered(failures, fastrand::f64())
            }
            _ => return Err(error),
        };
        tracing::debug!(file, "parts come later: {}", Chain(&error));
        tokio::time::sleep(pause).await;
    }
}

async fn fetch_once(registrar: &Client, file: &str, ranges: &[Range<u64>]) -> Result<Pieces, MulticastError> {
    let request = PiecesRequest { ranges: ranges.to_vec() };
    let wanted: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    let mut response = registrar.ask(&routes::PIECES.replace("{file}", file), &request).await?;
    let mut body = Vec::new();
    while (body.len() as u64) <= wanted {
        match timeout(READ_TIMEOUT, response.chunk()).await {
            Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
            _ => break,
        }
    }
    split(&body, ranges).ok_or(MulticastError::Short { got: body.len() as u64, wanted })
}

/// The bytes of each range; none where the lengths do not match.
fn split(body: &[u8], ranges: &[Range<u64>]) -> Option<Pieces> {
    let mut rest = body;
    let mut pieces = Vec::with_capacity(ranges.len());
    for range in ranges {
        let length = usize::try_from(range.end - range.start).ok()?;
        let (piece, after) = rest.split_at_checked(length)?;
        pieces.push((range.start, piece.to_vec()));
        rest = after;
    }
    rest.is_empty().then_some(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_split_as_asked_or_not_at_all() {
        let ranges = [10..13, 20..21];
        assert_eq!(split(b"abcd", &ranges).unwrap(), [(10, b"abc".to_vec()), (20, b"d".to_vec())]);
        assert_eq!(split(b"abc", &ranges), None);
        assert_eq!(split(b"abcde", &ranges), None);
    }
}
