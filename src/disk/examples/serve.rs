//! Serves a raw file as a read-only NBD export on a Unix socket, and prints which clusters are read, until ctrl-C.
//!
//! Run it with `cargo run --example serve -p bootstash-disk -- DISK.raw /tmp/disk.nbd`, and in another terminal read
//! through it, for example with `qemu-io -r -f raw -c 'read 1M 4k' 'nbd+unix:///?socket=/tmp/disk.nbd'`.

use bootstash_disk::nbd::{DiskImage, Export};
use std::error::Error;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [disk, socket] = arguments.as_slice() else {
        return Err("give a raw file and a path for the socket".into());
    };
    let base = DiskImage::of_bytes(File::open(disk)?)?;
    println!("{} bytes of {}", base.size_bytes(), disk.display());
    let export = Export::start(socket, Arc::new(base))?;
    println!("nbd+unix:///?socket={}, until ctrl-C", socket.display());
    tokio::select! {
        () = print_reads(&export) => (),
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    println!("{} clusters of 64 KiB were read", export.trace().clusters().len());
    Ok(())
}

/// Prints each cluster when it is first read.
async fn print_reads(export: &Export) {
    let (mut progress, mut printed) = (export.trace().watch(), 0);
    while progress.changed().await.is_ok() {
        let clusters = export.trace().clusters();
        for cluster in &clusters[printed..] {
            println!("cluster {cluster}");
        }
        printed = clusters.len();
    }
}
