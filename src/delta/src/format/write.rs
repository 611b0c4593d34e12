//! Writing a delta file: stream in, whole file out.

use super::{DeltaWriteError, Encoding, HEADER_BYTES, Header, SnapshotId, file_name};
use crate::DeltaRecord;
use bootstash_base::kill_point::{KillPoint, kill_point};
use bootstash_zfs::ByteStream;
use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, ReadBuf};

const BUFFER_BYTES: usize = 256 * 1024;
const ENCODING: Encoding = Encoding::Zstd;

/// Writes the delta that `stream` carries into `dir`, under [`file_name`]. A file of that name is replaced.
///
/// # Errors
/// When the stream or the file system fails; the unfinished file is removed.
pub async fn write(
    dir: &Path,
    from: Option<SnapshotId>,
    to: SnapshotId,
    stream: ByteStream,
) -> Result<DeltaRecord, DeltaWriteError> {
    let name = file_name(from.as_ref().map(|id| id.guid), to.guid);
    let path = dir.join(&name);
    let unfinished = Unfinished(dir.join(format!(".{name}.part")));
    let written = fill(&unfinished.0, from.clone(), to.clone(), stream).await?;
    kill_point(KillPoint::DeltaWritten);
    publish(&unfinished.0, &path).await.map_err(|source| DeltaWriteError::Io { path, source })?;
    let bytes = HEADER_BYTES as u64 + written.payload_bytes;
    Ok(DeltaRecord {
        file: name,
        from: from.map(|id| id.guid),
        to: to.guid,
        to_name: to.name,
        bytes,
        digest: written.digest,
    })
}

/// Removes the unfinished file when the writer fails or is dropped; after the rename there is none.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

struct Written {
    payload_bytes: u64,
    digest: String,
}

async fn fill(
    path: &Path,
    from: Option<SnapshotId>,
    to: SnapshotId,
    stream: ByteStream,
) -> Result<Written, DeltaWriteError> {
    let io_error = |source| DeltaWriteError::Io { path: path.to_owned(), source };
    let mut file = File::create(path).await.map_err(io_error)?;
    file.seek(SeekFrom::Start(HEADER_BYTES as u64)).await.map_err(io_error)?;
    let stream_bytes = Arc::new(AtomicU64::new(0));
    let counted = Counted { inner: stream, bytes: Arc::clone(&stream_bytes) };
    let mut encoder = ENCODING.encode(counted);
    let (mut payload, mut payload_bytes) = (blake3::Hasher::new(), 0);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = encoder.read(&mut buffer).await;
        let read = read.map_err(|source| DeltaWriteError::Stream { path: path.to_owned(), source })?;
        if read == 0 {
            break;
        }
        payload.update(&buffer[..read]);
        payload_bytes += read as u64;
        file.write_all(&buffer[..read]).await.map_err(io_error)?;
        kill_point(KillPoint::DeltaWriting);
    }
    let header = Header {
        format: Header::FORMAT,
        from,
        to,
        encoding: ENCODING,
        stream_bytes: stream_bytes.load(Ordering::Relaxed),
        payload_bytes,
        payload_digest: payload.finalize().to_hex().to_string(),
    };
    let block = header.encode().map_err(|problem| io_error(io::Error::other(problem)))?;
    file.seek(SeekFrom::Start(0)).await.map_err(io_error)?;
    file.write_all(&block).await.map_err(io_error)?;
    // Waits for the write under way and gives its error, which `sync_all` would keep to itself.
    file.flush().await.map_err(io_error)?;
    file.sync_all().await.map_err(io_error)?;
    Ok(Written { payload_bytes, digest: blake3::hash(&block).to_hex().to_string() })
}

async fn publish(from: &Path, to: &Path) -> io::Result<()> {
    tokio::fs::rename(from, to).await?;
    kill_point(KillPoint::DeltaRenamed);
    match to.parent() {
        Some(dir) => File::open(dir).await?.sync_all().await,
        None => Ok(()),
    }
}

/// Counts what passes.
struct Counted<R> {
    inner: R,
    bytes: Arc<AtomicU64>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Counted<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.bytes.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        result
    }
}
