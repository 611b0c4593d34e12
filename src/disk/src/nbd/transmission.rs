//! What follows the handshake: many requests in flight, each answered when it is done.
//!
//! Promises: requests are traced in the order in which they arrive, replies are sent in the order in which reads end. A client
//! has no more in flight than [`LIMITS`]; what it asks beyond that stays in its socket, and so it does while the client takes
//! no replies. A read that fails fails alone. After a disconnect what is in flight is still answered, as the protocol demands;
//! where the client just goes, or breaks the protocol, all reads are dropped at once.

use super::buffers::{BufferPool, InFlightLimits, ReadBuffer};
use super::protocol::{self, Command, MAX_READ_BYTES, ReplyError, Request, Verdict};
use super::session::not_nbd;
use super::{BlockSource, ReadTrace};
use bytes::Buf;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, Interest};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex, mpsc};

/// Of one connection. The longest read that is served fits, then as the only one.
pub(super) const LIMITS: InFlightLimits =
    InFlightLimits { reads: 16, bytes: MAX_READ_BYTES, kept_buffer_bytes: 2 << 20 };

/// How long a client that disconnected can take to fetch its last replies.
const DISCONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// What all requests of a connection share.
struct Transmission<'a> {
    source: &'a dyn BlockSource,
    trace: &'a ReadTrace,
    buffers: &'a BufferPool,
    /// Whoever has a reply waits for its turn here, in order.
    writer: Mutex<OwnedWriteHalf>,
}

/// A read that may begin.
struct AdmittedRead<'a> {
    cookie: u64,
    offset: u64,
    buffer: ReadBuffer<'a>,
}

/// Serves one client until it goes.
pub(super) async fn serve(
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    source: &dyn BlockSource,
    trace: &ReadTrace,
) -> io::Result<()> {
    let buffers = BufferPool::new(LIMITS);
    let transmission = Transmission { source, trace, buffers: &buffers, writer: Mutex::new(writer) };
    // Holds no more than the pool admits.
    let (admitted, reads) = mpsc::unbounded_channel();
    let mut answering = std::pin::pin!(transmission.answer(reads));
    tokio::select! {
        received = transmission.receive(reader, admitted) => received?,
        answered = &mut answering => return answered,
    }
    tokio::time::timeout(DISCONNECT_DEADLINE, answering).await?
}

impl<'a> Transmission<'a> {
    /// Takes requests until the client disconnects; an error where it goes in any other way.
    async fn receive(
        &self,
        mut reader: BufReader<OwnedReadHalf>,
        admitted: mpsc::UnboundedSender<AdmittedRead<'a>>,
    ) -> io::Result<()> {
        loop {
            let mut head = [0; protocol::REQUEST_BYTES];
            reader.read_exact(&mut head).await?;
            let request = protocol::request(&head).ok_or_else(not_nbd)?;
            match protocol::judge(&request, self.source.size_bytes()) {
                Verdict::Read => {
                    self.trace.record(request.offset, request.length);
                    // The other end of the channel goes when this does.
                    drop(admitted.send(self.admit(&reader, request).await?));
                }
                Verdict::Reply(error) => self.reply(request.cookie, error, &[]).await?,
                Verdict::Discard(error) => {
                    let mut data = (&mut reader).take(request.length.into());
                    tokio::io::copy_buf(&mut data, &mut tokio::io::sink()).await?;
                    self.reply(request.cookie, error, &[]).await?;
                }
                Verdict::HangUp if request.command == Command::Disconnect => return Ok(()),
                Verdict::HangUp => return Err(not_nbd()),
            }
        }
    }

    /// Waits until the read fits the limits, or the client goes, which nobody else would see meanwhile.
    async fn admit(
        &self,
        reader: &BufReader<OwnedReadHalf>,
        request: Request,
    ) -> io::Result<AdmittedRead<'a>> {
        tokio::select! {
            biased;
            buffer = self.buffers.acquire(request.length) =>
                Ok(AdmittedRead { cookie: request.cookie, offset: request.offset, buffer: buffer? }),
            gone = closed(reader.get_ref()) => Err(gone),
        }
    }

    /// Does the reads as they come, all at once; ends when no more can come and all are answered.
    async fn answer(&self, mut admitted: mpsc::UnboundedReceiver<AdmittedRead<'a>>) -> io::Result<()> {
        let mut in_flight = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(read) = admitted.recv() => in_flight.push(self.answer_one(read)),
                Some(answered) = in_flight.next() => answered?,
                else => return Ok(()),
            }
        }
    }

    async fn answer_one(&self, mut read: AdmittedRead<'a>) -> io::Result<()> {
        let length = read.buffer.len();
        let done = self.source.read(&mut read.buffer, read.offset).await;
        match done {
            Ok(()) if read.buffer.len() == length => {
                self.reply(read.cookie, ReplyError::None, &read.buffer).await
            }
            Ok(()) => Err(io::Error::other("the source changed the length of a buffer")),
            Err(error) => {
                tracing::debug!(%error, offset = read.offset, length, "a read of the base failed");
                self.reply(read.cookie, ReplyError::Io, &[]).await
            }
        }
    }

    async fn reply(&self, cookie: u64, error: ReplyError, data: &[u8]) -> io::Result<()> {
        send(&mut *self.writer.lock().await, &protocol::reply(cookie, error), data).await
    }
}

/// Head and data in one write where the socket takes them.
pub(super) async fn send(writer: &mut (impl AsyncWrite + Unpin), head: &[u8], data: &[u8]) -> io::Result<()> {
    writer.write_all_buf(&mut Buf::chain(head, data)).await
}

/// Waits until the client has closed its side, even while requests wait unread.
async fn closed(reader: &OwnedReadHalf) -> io::Error {
    loop {
        // Of all interests it is the one that is not also about bytes to read or room to write.
        match reader.ready(Interest::PRIORITY).await {
            Ok(ready) if ready.is_read_closed() => return io::ErrorKind::ConnectionAborted.into(),
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => return error,
        }
    }
}

#[cfg(test)]
mod tests;
