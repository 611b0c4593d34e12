//! One connection: the handshake, then requests in order.

use super::protocol::{self, Command, Next, ReplyError, Verdict};
use super::{BlockSource, ReadTrace};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter};
use tokio::net::UnixStream;

/// A client that does not finish its handshake holds a place which others may need.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// Serves one client until it goes. Each read is traced before it is answered.
pub(super) async fn serve(stream: UnixStream, source: &dyn BlockSource, trace: &ReadTrace) -> io::Result<()> {
    let (mut reader, writer) = stream.into_split();
    let mut writer = BufWriter::new(writer);
    let handshake = handshake(&mut reader, &mut writer, source.size_bytes());
    match tokio::time::timeout(HANDSHAKE_DEADLINE, handshake).await {
        Ok(Ok(true)) => transmit(&mut reader, &mut writer, source, trace).await,
        Ok(done) => done.map(|_| ()),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Whether the client goes on to read.
async fn handshake(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    size_bytes: u64,
) -> io::Result<bool> {
    send(writer, &protocol::greeting()).await?;
    let zeroes = protocol::wants_zeroes(reader.read_u32().await?).ok_or_else(broken)?;
    loop {
        let mut head = [0; 16];
        reader.read_exact(&mut head).await?;
        let (option, length) = protocol::option_head(&head).ok_or_else(broken)?;
        let mut data = vec![0; length as usize];
        reader.read_exact(&mut data).await?;
        let (reply, next) = protocol::answer(option, &data, size_bytes, zeroes);
        send(writer, &reply).await?;
        match next {
            Next::Options => (),
            Next::Transmission => return Ok(true),
            Next::End => return Ok(false),
        }
    }
}

async fn transmit(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    source: &dyn BlockSource,
    trace: &ReadTrace,
) -> io::Result<()> {
    loop {
        let mut head = [0; protocol::REQUEST_BYTES];
        match reader.read_exact(&mut head).await {
            Ok(_) => (),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        let request = protocol::request(&head).ok_or_else(broken)?;
        match protocol::judge(&request, source.size_bytes()) {
            Verdict::Read => {
                trace.record(request.offset, request.length);
                match source.read(request.offset, request.length).await {
                    Ok(data) => {
                        writer.write_all(&protocol::reply(request.cookie, ReplyError::None)).await?;
                        send(writer, &data).await?;
                    }
                    Err(error) => {
                        tracing::debug!(%error, offset = request.offset, "a read of the base failed");
                        send(writer, &protocol::reply(request.cookie, ReplyError::Io)).await?;
                    }
                }
            }
            Verdict::Reply(error) => send(writer, &protocol::reply(request.cookie, error)).await?,
            Verdict::Swallow(error) => {
                let mut data = (&mut *reader).take(request.length.into());
                tokio::io::copy(&mut data, &mut tokio::io::sink()).await?;
                send(writer, &protocol::reply(request.cookie, error)).await?;
            }
            Verdict::HangUp if request.command == Command::Disconnect => return Ok(()),
            Verdict::HangUp => return Err(broken()),
        }
    }
}

async fn send(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    writer.write_all(bytes).await?;
    writer.flush().await
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the client does not speak NBD as we do")
}
