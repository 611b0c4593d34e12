//! A raw file of 64 MiB read through the NBD server over a Unix socket, in reads of 4 and of 64 KiB: one in flight, and 16.

use bootstash_disk::nbd::{DiskImage, Export};
use criterion::{Criterion, Throughput};
use std::error::Error;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const DISK_BYTES: u64 = 64 << 20;
const REPLY_HEAD_BYTES: usize = 16;

/// As much of a client as it takes to read.
struct Client(UnixStream);

impl Client {
    async fn connect(socket: &Path) -> io::Result<Self> {
        let mut stream = UnixStream::connect(socket).await?;
        stream.read_exact(&mut [0; 18]).await?;
        // Fixed newstyle, no zeroes; then the option EXPORT_NAME with the empty name.
        stream.write_all(b"\0\0\0\x03IHAVEOPT\0\0\0\x01\0\0\0\0").await?;
        stream.read_exact(&mut [0; 10]).await?;
        Ok(Self(stream))
    }

    /// Reads the whole disk in order, with `in_flight` reads under way.
    async fn read_all(&mut self, read_bytes: u32, in_flight: u64) -> io::Result<()> {
        let mut reply = vec![0; REPLY_HEAD_BYTES + read_bytes as usize];
        let reads = DISK_BYTES / u64::from(read_bytes);
        for number in 0..reads + in_flight {
            if number >= in_flight {
                self.0.read_exact(&mut reply).await?;
            }
            if number < reads {
                self.request(number * u64::from(read_bytes), read_bytes).await?;
            }
        }
        Ok(())
    }

    async fn request(&mut self, offset: u64, length: u32) -> io::Result<()> {
        let mut bytes = [0; 28];
        bytes[..4].copy_from_slice(&0x2560_9513_u32.to_be_bytes());
        bytes[16..24].copy_from_slice(&offset.to_be_bytes());
        bytes[24..].copy_from_slice(&length.to_be_bytes());
        self.0.write_all(&bytes).await
    }
}

/// A file with data everywhere.
fn disk(path: &Path) -> io::Result<File> {
    let bytes: Vec<u8> = (0..DISK_BYTES).map(|at| (at / 777) as u8).collect();
    std::fs::write(path, bytes)?;
    File::open(path)
}

fn bench(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let _entered = runtime.enter();
    let dir = tempfile::tempdir()?;
    let socket = dir.path().join("nbd");
    let _export = Export::start(&socket, Arc::new(DiskImage::of_bytes(disk(&dir.path().join("disk"))?)?))?;
    let mut client = runtime.block_on(Client::connect(&socket))?;
    let mut group = criterion.benchmark_group("nbd");
    group.throughput(Throughput::Bytes(DISK_BYTES));
    for read_kib in [4, 64] {
        for in_flight in [1, 16] {
            group.bench_function(format!("{read_kib} KiB, {in_flight} in flight"), |bencher| {
                bencher.iter(|| runtime.block_on(client.read_all(read_kib << 10, in_flight)));
            });
        }
    }
    group.finish();
    // A server that hung up would have been fast.
    Ok(runtime.block_on(client.read_all(64 << 10, 1))?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let quick = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(500));
    let mut criterion = quick.measurement_time(Duration::from_secs(2)).configure_from_args();
    bench(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
