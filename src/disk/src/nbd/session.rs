//! One connection: the handshake, and then whatever the client asks until it goes.

use super::protocol::{self, Next};
use super::transmission::{self, send};
use super::{BlockSource, ReadTrace};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, BufReader};
use tokio::net::UnixStream;

/// A client that does not finish its handshake holds a place which others may need.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// Serves one client until it goes.
pub(super) async fn serve(stream: UnixStream, source: &dyn BlockSource, trace: &ReadTrace) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let handshake = handshake(&mut reader, &mut writer, source.size_bytes());
    match tokio::time::timeout(HANDSHAKE_DEADLINE, handshake).await {
        Ok(Ok(true)) => transmission::serve(reader, writer, source, trace).await,
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
    send(writer, &protocol::greeting(), &[]).await?;
    let zeroes = protocol::wants_zeroes(reader.read_u32().await?).ok_or_else(not_nbd)?;
    loop {
        let mut head = [0; 16];
        reader.read_exact(&mut head).await?;
        let (option, length) = protocol::option_head(&head).ok_or_else(not_nbd)?;
        let mut data = vec![0; length as usize];
        reader.read_exact(&mut data).await?;
        let (reply, next) = protocol::answer(option, &data, size_bytes, zeroes);
        send(writer, &reply, &[]).await?;
        match next {
            Next::Options => (),
            Next::Transmission => return Ok(true),
            Next::End => return Ok(false),
        }
    }
}

pub(super) fn not_nbd() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the client does not speak NBD as we do")
}
