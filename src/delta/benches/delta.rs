//! A delta file of a stream of 32 MiB that compresses to about half: written, verified, read.

use bootstash_base::names::{Guid, SnapshotName};
use bootstash_delta::{DeltaReadError, DeltaRecord, DeltaWriteError, SnapshotId, open, verify, write};
use bytes::Bytes;
use criterion::{Criterion, Throughput};
use std::error::Error;
use std::io::{self, Cursor};
use std::path::Path;
use std::time::Duration;

const STREAM_BYTES: usize = 32 << 20;

/// Half noise, half one byte, in turns of 4 KiB.
fn stream() -> Bytes {
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(STREAM_BYTES);
    while bytes.len() < STREAM_BYTES {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        let constant = bytes.len() / 4096 % 2 == 0;
        bytes.extend(if constant { [7; 8] } else { noise.to_le_bytes() });
    }
    bytes.into()
}

async fn write_to(dir: &Path, stream: &Bytes) -> Result<DeltaRecord, DeltaWriteError> {
    let name = SnapshotName::new(1, chrono::DateTime::UNIX_EPOCH);
    write(dir, None, SnapshotId { name, guid: Guid::new(1) }, Box::pin(Cursor::new(stream.clone()))).await
}

async fn read(path: &Path) -> Result<u64, Box<dyn Error>> {
    let (_, mut stream) = open(path).await?;
    Ok(tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?)
}

async fn verified(path: &Path, record: &DeltaRecord) -> Result<(), DeltaReadError> {
    verify(path, record).await.map(|_| ())
}

fn bench(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let (dir, stream) = (tempfile::tempdir()?, stream());
    let record = runtime.block_on(write_to(dir.path(), &stream))?;
    let path = dir.path().join(&record.file);
    runtime.block_on(verified(&path, &record))?;
    if runtime.block_on(read(&path))? != STREAM_BYTES as u64 {
        return Err(io::Error::other("not all came back").into());
    }
    let mut group = criterion.benchmark_group("delta");
    group.throughput(Throughput::Bytes(STREAM_BYTES as u64));
    group.bench_function("write", |bencher| {
        bencher.iter(|| runtime.block_on(write_to(dir.path(), &stream)));
    });
    group.bench_function("verify", |bencher| bencher.iter(|| runtime.block_on(verified(&path, &record))));
    group.bench_function("read", |bencher| bencher.iter(|| runtime.block_on(read(&path))));
    group.finish();
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let quick = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(500));
    let mut criterion = quick.measurement_time(Duration::from_secs(2)).configure_from_args();
    bench(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
