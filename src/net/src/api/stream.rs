//! A full stream straight from ZFS into ZFS, where both ends can go on after a cut.

use super::Transfer;
use bootstash_zfs::ByteStream;
use reqwest::Response;
use serde::{Deserialize, Serialize};
use std::io;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};

/// Response header: the name of the snapshot that the stream leads to.
pub const SNAPSHOT_HEADER: &str = "bootstash-snapshot";
/// Response header: its GUID.
pub const GUID_HEADER: &str = "bootstash-guid";
/// Response header: about how many bytes the stream has, decoded.
pub const SIZE_HEADER: &str = "bootstash-size";

/// Asks for a stream.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StreamQuery {
    /// The token of a receive that was cut, to have the rest of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<String>,
}

/// What a header of a response says; nothing where it is not there, or makes no sense.
pub fn stream_header<T: FromStr>(response: &Response, name: &str) -> Option<T> {
    response.headers().get(name)?.to_str().ok()?.parse().ok()
}

/// A stream that shows how far it is, with each piece that comes.
pub struct Shown<F> {
    stream: ByteStream,
    transfer: Transfer,
    show: F,
}

impl<F: FnMut(Transfer) + Unpin> Shown<F> {
    /// At its beginning, of about `total_bytes`.
    pub fn new(stream: ByteStream, total_bytes: Option<u64>, show: F) -> Self {
        Self { stream, transfer: Transfer { bytes: 0, total_bytes }, show }
    }
}

impl<F: FnMut(Transfer) + Unpin> AsyncRead for Shown<F> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = self.stream.as_mut().poll_read(context, buffer);
        self.transfer.bytes += (buffer.filled().len() - before) as u64;
        let transfer = self.transfer;
        (self.show)(transfer);
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn shows_how_far_it_is() {
        let mut seen = Vec::new();
        let stream: ByteStream = Box::pin(io::Cursor::new(vec![7; 5]));
        let mut shown = Shown::new(stream, Some(5), |transfer: Transfer| seen.push(transfer.bytes));
        let mut piece = [0; 3];
        shown.read_exact(&mut piece).await.unwrap();
        assert_eq!(shown.read_to_end(&mut Vec::new()).await.unwrap(), 2);
        assert!(seen.starts_with(&[3, 5]), "{seen:?}");
    }
}
