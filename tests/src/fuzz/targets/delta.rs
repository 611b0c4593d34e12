//! Delta files: the header block, and the whole of a small file as an agent verifies it.

use crate::fuzz::{Reader, Verdict, bytes, json};
use anyhow::ensure;
use bootstash_base::names::{Guid, SnapshotName};
use bootstash_delta::DeltaRecord;
use bootstash_delta::{Encoding, HEADER_BYTES, Header, SnapshotId};
use chrono::DateTime;
use fastrand::Rng;

const DIGEST_AT: usize = HEADER_BYTES - blake3::OUT_LEN;
const JSON_AT: usize = 12;
const PAYLOAD: &[u8] = b"not long";

fn header(from: Option<SnapshotId>) -> Header {
    Header {
        format: Header::FORMAT,
        from,
        to: id(2),
        encoding: Encoding::Zstd,
        stream_bytes: 1 << 20,
        payload_bytes: PAYLOAD.len() as u64,
        payload_digest: blake3::hash(PAYLOAD).to_hex().to_string(),
    }
}

fn id(number: u64) -> SnapshotId {
    SnapshotId { name: SnapshotName::new(number, DateTime::UNIX_EPOCH), guid: Guid::new(u64::MAX - number) }
}

pub(super) fn headers() -> Vec<Vec<u8>> {
    [None, Some(id(1))].into_iter().filter_map(|from| header(from).encode().ok()).collect()
}

pub(super) fn files() -> Vec<Vec<u8>> {
    headers().into_iter().map(|block| [&block, PAYLOAD].concat()).collect()
}

/// Half of the headers are sealed anew: else the digest would refuse nearly all.
pub(super) fn mutate_header(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    if rng.bool() {
        return bytes::mutate(rng, seeds);
    }
    let seed = super::super::pick(rng, seeds);
    let length = u32::from_le_bytes([seed[8], seed[9], seed[10], seed[11]]) as usize;
    let text = json::mutate(rng, &[seed[JSON_AT..JSON_AT + length].to_vec()]);
    let mut file = seed[..8].to_vec();
    let claimed = if rng.u32(..8) == 0 { rng.u32(..) } else { u32::try_from(text.len()).unwrap_or(0) };
    file.extend_from_slice(&claimed.to_le_bytes());
    file.extend_from_slice(&text);
    file.resize(DIGEST_AT, 0);
    file.extend_from_slice(blake3::hash(&file).as_bytes());
    file.extend_from_slice(&seed[HEADER_BYTES..]);
    file
}

pub(super) fn open_header() -> Reader {
    Box::new(|block| {
        let read = Header::decode(block);
        if let Ok(header) = &read {
            check(block, header)?;
        }
        Ok(Verdict::of(&read))
    })
}

fn check(block: &[u8], header: &Header) -> anyhow::Result<()> {
    ensure!(blake3::hash(&block[..DIGEST_AT]).as_bytes() == &block[DIGEST_AT..], "its digest is wrong");
    let again = header.encode().map_err(anyhow::Error::msg)?;
    ensure!(Header::decode(&again).as_ref() == Ok(header), "written again it is another: {header:?}");
    Ok(())
}

/// As a registrar announces the file which does its worst: all that is checked against the announcement fits.
pub(super) fn open_file() -> Reader {
    let dir = super::scratch();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    Box::new(move |file| {
        let (dir, runtime) = (dir.as_ref().map_err(clone)?, runtime.as_ref().map_err(clone)?);
        let path = dir.path().join("delta");
        std::fs::write(&path, file)?;
        let block = &file[..file.len().min(HEADER_BYTES)];
        let record = DeltaRecord {
            file: "delta".to_owned(),
            from: None,
            to: id(2).guid,
            to_name: id(2).name,
            bytes: file.len() as u64,
            digest: blake3::hash(block).to_hex().to_string(),
        };
        let verified = runtime.block_on(bootstash_delta::verify(&path, &record));
        if let Ok(header) = &verified {
            let payload = &file[HEADER_BYTES..];
            ensure!(header.payload_bytes == payload.len() as u64, "the payload has another size");
            ensure!(header.payload_digest == *blake3::hash(payload).to_hex(), "the payload is another");
        }
        Ok(Verdict::of(&verified))
    })
}

fn clone(error: &std::io::Error) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}
