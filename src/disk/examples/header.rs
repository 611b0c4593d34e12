//! Prints what the header of a qcow2 file says, and whether the file would be taken as an image. Opens nothing that the
//! header names.
//!
//! Run it with `cargo run --example header -p bootstash-disk -- DISK.qcow2`; without a file it makes one and looks at that.

use bootstash_disk::ImageFormat;
use bootstash_disk::formats::START_BYTES;
use bootstash_disk::qcow2::header::{self, Qcow2Header};
use bootstash_disk::qcow2::inspect::inspect_header;
use bootstash_disk::qcow2::{self, CLUSTER_BYTES, ClusterRuns, Layout};
use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let (start, file_bytes) = match std::env::args_os().nth(1) {
        Some(path) => start_of(Path::new(&path))?,
        None => start_of_example()?,
    };
    let header = header::parse(&start).ok_or("this is no qcow2 file")?;
    print(&header);
    match inspect_header(&header, &start, file_bytes) {
        Ok(()) => println!("would be taken as an image"),
        Err(refusal) => println!("would be refused: {refusal:?}"),
    }
    Ok(())
}

fn start_of(path: &Path) -> io::Result<(Vec<u8>, u64)> {
    let (file, mut start) = (File::open(path)?, Vec::new());
    let file_bytes = file.metadata()?.len();
    file.take(START_BYTES as u64).read_to_end(&mut start)?;
    Ok((start, file_bytes))
}

/// A boot cache with two clusters of a disk of 1 GiB.
fn start_of_example() -> Result<(Vec<u8>, u64), Box<dyn Error>> {
    let (base, mut file) = (Path::new("/srv/images/base.raw"), Vec::new());
    let layout = Layout::new(1 << 30, vec![0, 5], ClusterRuns::default(), base, ImageFormat::Raw)?;
    let read = |buffer: &mut [u8], offset: u64| {
        buffer.fill((offset / CLUSTER_BYTES) as u8);
        Ok(())
    };
    qcow2::write(&layout, read, &mut file)?;
    let file_bytes = file.len() as u64;
    file.truncate(START_BYTES);
    Ok((file, file_bytes))
}

fn print(header: &Qcow2Header) {
    println!("version         {}", header.version);
    println!("disk            {} bytes", header.virtual_size_bytes);
    println!("clusters        2^{} bytes", header.cluster_bits);
    println!("L1 table        {} entries at {:#x}", header.level1.count, header.level1.offset);
    println!("refcount table  {} clusters at {:#x}", header.refcounts.count, header.refcounts.offset);
    match header.backing {
        Some(name) => println!("backing file    a name of {} bytes at {:#x}", name.bytes, name.offset),
        None => println!("backing file    none"),
    }
}
