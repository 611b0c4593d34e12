//! A boot cache of 64 MiB on a disk of 10 GiB, as large as they are: laid out, written, looked through, read.

use bootstash_disk::ImageFormat;
use bootstash_disk::qcow2::{self, CLUSTER_BYTES, CacheFile, ClusterRuns, Layout, LayoutError};
use criterion::{Criterion, Throughput};
use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::io;
use std::path::Path;
use std::time::Duration;

const DISK_BYTES: u64 = 10 << 30;
const DATA_CLUSTERS: u64 = 1024;

fn layout() -> Result<Layout, LayoutError> {
    // Every third cluster is data; a boot reads in many places.
    let data = (0..DATA_CLUSTERS).map(|number| number * 3).collect();
    let mut zeros = ClusterRuns::default();
    zeros.append(100_000..150_000);
    Layout::new(DISK_BYTES, data, zeros, Path::new("/srv/images/base.raw"), ImageFormat::Raw)
}

fn fill(buffer: &mut [u8], offset: u64) -> io::Result<()> {
    buffer.fill((offset / CLUSTER_BYTES) as u8);
    Ok(())
}

fn read_data(cache: &CacheFile, layout: &Layout, buffer: &mut [u8]) -> io::Result<()> {
    layout.data().iter().try_for_each(|cluster| cache.read(buffer, cluster * CLUSTER_BYTES))
}

fn bench(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let _entered = runtime.enter();
    let dir = tempfile::tempdir()?;
    let (path, layout_of_file) = (dir.path().join("cache.qcow2"), layout()?);
    qcow2::write(&layout_of_file, fill, &mut File::create(&path)?)?;
    let cache = CacheFile::open(&path)?;
    let mut buffer = vec![0; CLUSTER_BYTES as usize];
    read_data(&cache, &layout_of_file, &mut buffer)?;

    let mut group = criterion.benchmark_group("qcow2");
    group.bench_function("layout", |bencher| bencher.iter(layout));
    group.bench_function("allocation_map", |bencher| bencher.iter(|| cache.allocation_map(|| Ok(()))));
    group.throughput(Throughput::Bytes(DATA_CLUSTERS * CLUSTER_BYTES));
    group.bench_function("write", |bencher| {
        bencher.iter(|| qcow2::write(black_box(&layout_of_file), fill, &mut io::sink()));
    });
    group.bench_function("read", |bencher| {
        bencher.iter(|| read_data(&cache, &layout_of_file, black_box(&mut buffer)));
    });
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
