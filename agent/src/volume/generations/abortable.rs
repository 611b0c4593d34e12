//! A stream that breaks off when the agent stops: ZFS then ends the receive in order and drops what
//! came of it, where it would have to clean up behind a call that was just dropped.

use bootstash_zfs::ByteStream;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// A stream and the token that breaks it off.
pub(super) struct Abortable {
    stream: ByteStream,
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Abortable {
    pub(super) fn new(stream: ByteStream, cancel: CancellationToken) -> Self {
        Self { stream, cancelled: Box::pin(cancel.cancelled_owned()) }
    }
}

impl AsyncRead for Abortable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cancelled.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::Error::other("the agent is stopping")));
        }
        self.stream.as_mut().poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn waiting_read_ends_with_an_error() {
        let (_writer, reader) = tokio::io::duplex(16);
        let cancel = CancellationToken::new();
        let mut stream = Abortable::new(Box::pin(reader), cancel.clone());
        let reading = tokio::spawn(async move { stream.read(&mut [0; 4]).await });
        tokio::task::yield_now().await;
        cancel.cancel();
        reading.await.unwrap().unwrap_err();
    }
}
