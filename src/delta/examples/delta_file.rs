//! Makes a delta file of bytes that stand for a ZFS stream, verifies it, reads it back, and shows that damage is noticed.
//!
//! Run it with `cargo run --example delta_file -p bootstash-delta`.

use bootstash_base::names::{Guid, SnapshotName};
use bootstash_delta::{DeltaRecord, SnapshotId};
use chrono::Utc;
use std::error::Error;
use std::io::Cursor;
use std::path::Path;
use tokio::io::AsyncReadExt;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let stream: Vec<u8> = (0..10_000_000_u32).map(|at| (at / 1000) as u8).collect();
    let record = write(dir.path(), &stream).await?;
    let path = dir.path().join(&record.file);
    read(&path, &record, &stream).await?;
    damage(&path)?;
    match bootstash_delta::verify(&path, &record).await {
        Ok(_) => Err("the damage went unnoticed".into()),
        Err(error) => {
            println!("after one bit was turned: {error}");
            Ok(())
        }
    }
}

async fn write(dir: &Path, stream: &[u8]) -> Result<DeltaRecord> {
    let snapshot =
        |number, guid| SnapshotId { name: SnapshotName::new(number, Utc::now()), guid: Guid::new(guid) };
    let (from, to) = (snapshot(41, 0x41), snapshot(42, 0x42));
    println!("from {} to {}", from.name, to.name);
    let record = bootstash_delta::write(dir, Some(from), to, Box::pin(Cursor::new(stream.to_vec()))).await?;
    println!("{} bytes of stream are {} bytes in {}", stream.len(), record.bytes, record.file);
    println!("what a log announces: {}", serde_json::to_string(&record)?);
    Ok(record)
}

async fn read(path: &Path, record: &DeltaRecord, expected: &[u8]) -> Result<()> {
    let header = bootstash_delta::verify(path, record).await?;
    println!("verified: payload {}", header.payload_digest);
    let (_, mut stream) = bootstash_delta::open(path).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    assert!(bytes == expected, "other bytes came back");
    println!("read back: {} bytes, as they were", bytes.len());
    Ok(())
}

fn damage(path: &Path) -> Result<()> {
    let mut bytes = std::fs::read(path)?;
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    Ok(std::fs::write(path, bytes)?)
}
