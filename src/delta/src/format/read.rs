//! Reading a delta file: verify the whole, then stream it.

use super::{DeltaReadError, HEADER_BYTES, Header};
use crate::DeltaRecord;
use bootstash_zfs::ByteStream;
use std::path::Path;
use tokio::fs::File;
use tokio::io::AsyncReadExt;

const BUFFER_BYTES: usize = 256 * 1024;

/// The header of the delta file at `path`.
///
/// # Errors
/// When it cannot be read, or is none.
pub async fn read_header(path: &Path) -> Result<Header, DeltaReadError> {
    Ok(open_file(path).await?.0)
}

/// Checks that the file at `path` is the one that `record` announces: its size, its header's
/// digest, its payload's digest.
///
/// # Errors
/// `Mismatch` or `Header` where it is another or damaged; `Io` where it cannot be read.
pub async fn verify(path: &Path, record: &DeltaRecord) -> Result<Header, DeltaReadError> {
    let (header, block, mut file) = open_file_with_block(path).await?;
    expect(path, "header digest", blake3::hash(&block).to_hex().as_str(), &record.digest)?;
    expect(
        path,
        "size",
        &header.payload_bytes.saturating_add(HEADER_BYTES as u64).to_string(),
        &record.bytes.to_string(),
    )?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer).await.map_err(|source| io_error(path, source))? {
            0 => break,
            read => {
                hasher.update(&buffer[..read]);
                bytes += read as u64;
            }
        }
    }
    expect(path, "payload size", &bytes.to_string(), &header.payload_bytes.to_string())?;
    expect(path, "payload digest", hasher.finalize().to_hex().as_str(), &header.payload_digest)?;
    Ok(header)
}

/// The header and the decoded ZFS stream of the delta file at `path`. Nothing is verified beyond the
/// header: call [`verify`] first.
///
/// # Errors
/// When it cannot be read, or is none.
pub async fn open(path: &Path) -> Result<(Header, ByteStream), DeltaReadError> {
    let (header, file) = open_file(path).await?;
    let stream = header.encoding.decode(file);
    Ok((header, stream))
}

async fn open_file(path: &Path) -> Result<(Header, File), DeltaReadError> {
    open_file_with_block(path).await.map(|(header, _, file)| (header, file))
}

async fn open_file_with_block(path: &Path) -> Result<(Header, Vec<u8>, File), DeltaReadError> {
    let mut file = File::open(path).await.map_err(|source| io_error(path, source))?;
    let mut block = Vec::with_capacity(HEADER_BYTES);
    (&mut file)
        .take(HEADER_BYTES as u64)
        .read_to_end(&mut block)
        .await
        .map_err(|source| io_error(path, source))?;
    let header = Header::decode(&block)
        .map_err(|problem| DeltaReadError::Header { path: path.to_owned(), problem })?;
    Ok((header, block, file))
}

fn expect(path: &Path, what: &'static str, got: &str, wanted: &str) -> Result<(), DeltaReadError> {
    if got == wanted {
        return Ok(());
    }
    Err(DeltaReadError::Mismatch {
        path: path.to_owned(),
        what,
        got: got.to_owned(),
        wanted: wanted.to_owned(),
    })
}

fn io_error(path: &Path, source: std::io::Error) -> DeltaReadError {
    DeltaReadError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::super::{SnapshotId, write};
    use super::*;
    use bootstash_base::names::{Guid, SnapshotName};

    fn to() -> SnapshotId {
        SnapshotId { name: SnapshotName::new(1, chrono::DateTime::UNIX_EPOCH), guid: Guid::new(9) }
    }

    fn stream(bytes: &[u8]) -> ByteStream {
        Box::pin(std::io::Cursor::new(bytes.to_vec()))
    }

    #[tokio::test]
    async fn gives_back_the_stream() {
        let dir = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n / 7) as u8).collect();
        let record = write(dir.path(), None, to(), stream(&bytes)).await.unwrap();
        let path = dir.path().join(&record.file);
        let header = verify(&path, &record).await.unwrap();
        assert_eq!(header.stream_bytes, bytes.len() as u64);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), record.bytes);
        let (_, mut decoded) = open(&path).await.unwrap();
        let mut back = Vec::new();
        decoded.read_to_end(&mut back).await.unwrap();
        assert_eq!(back, bytes);
    }

    #[tokio::test]
    async fn damage_and_truncation_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let record = write(dir.path(), None, to(), stream(b"abcdefgh")).await.unwrap();
        let path = dir.path().join(&record.file);
        let whole = std::fs::read(&path).unwrap();
        for at in [0, 100, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, damaged).unwrap();
            verify(&path, &record).await.unwrap_err();
        }
        for length in [0, 4095, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            verify(&path, &record).await.unwrap_err();
        }
    }

    #[tokio::test]
    async fn a_size_beyond_all_files_is_a_mismatch() {
        let dir = tempfile::tempdir().unwrap();
        let mut record = write(dir.path(), None, to(), stream(b"abcdefgh")).await.unwrap();
        let path = dir.path().join(&record.file);
        let mut header = read_header(&path).await.unwrap();
        header.payload_bytes = u64::MAX;
        let block = header.encode().unwrap();
        record.digest = blake3::hash(&block).to_hex().to_string();
        std::fs::write(&path, block).unwrap();
        let error = verify(&path, &record).await.unwrap_err();
        assert!(matches!(error, DeltaReadError::Mismatch { what: "size", .. }), "{error}");
    }

    #[tokio::test]
    async fn a_broken_stream_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let broken = tokio_util::io::StreamReader::new(futures::stream::iter([
            Ok(bytes::Bytes::from_static(b"abc")),
            Err(std::io::Error::other("gone")),
        ]));
        write(dir.path(), None, to(), Box::pin(broken)).await.unwrap_err();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
