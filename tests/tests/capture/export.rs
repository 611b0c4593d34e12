//! The NBD export with QEMU's tools as its clients.

use crate::guest::{CLUSTER, tool};
use bootstash_disk::ImageFormat;
use bootstash_disk::nbd::{DiskImage, Export, FailingSource};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

const SIZE: usize = 3 << 20;

fn bytes() -> Vec<u8> {
    (0..SIZE).map(|at| u8::try_from(at / 777 % 251).unwrap()).collect()
}

async fn exported(dir: &Path) -> Export {
    let path = dir.join("base.raw");
    std::fs::write(&path, bytes()).unwrap();
    let base = DiskImage::open(&path, ImageFormat::Raw, SIZE as u64).await.unwrap();
    Export::start(&dir.join("nbd"), Arc::new(base)).unwrap()
}

fn url(dir: &Path) -> String {
    format!("nbd+unix:///?socket={}", dir.join("nbd").display())
}

async fn qemu_io(args: &[&str]) -> Output {
    let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
    tokio::task::spawn_blocking(move || Command::new("qemu-io").args(args).output().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_clients_read_the_bytes_of_the_base() {
    let dir = tempfile::tempdir().unwrap();
    let export = exported(dir.path()).await;
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (url, dir) = (url(dir.path()), dir.path().to_owned());
            tokio::task::spawn_blocking(move || {
                tool("qemu-img", &["compare", "-f", "raw", "-F", "raw", "base.raw", &url], &dir)
            })
        })
        .collect();
    for client in clients {
        assert!(client.await.unwrap().contains("identical"));
    }
    assert_eq!(export.trace().clusters().len() as u64, SIZE as u64 / CLUSTER);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_are_traced_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let export = exported(dir.path()).await;
    let reads = ["-r", "-f", "raw", "-c", "read 2M 512", "-c", "read 65000 1000", &url(dir.path())];
    let output = qemu_io(&reads).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(export.trace().clusters(), [32, 0, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _export = exported(dir.path()).await;
    let output = qemu_io(&["-f", "raw", "-c", "write 0 512", &url(dir.path())]).await;
    assert!(!output.status.success(), "{output:?}");
    assert_eq!(std::fs::read(dir.path().join("base.raw")).unwrap(), bytes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusing_base_opens_and_fails_each_read() {
    let dir = tempfile::tempdir().unwrap();
    let export =
        Export::start(&dir.path().join("nbd"), Arc::new(FailingSource { size_bytes: 1 << 20 })).unwrap();
    let output = qemu_io(&["-r", "-f", "raw", "-c", "length", "-c", "read 0 512", &url(dir.path())]).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("1 MiB") && said.contains("Input/output error"), "{output:?}");
    assert_eq!(export.trace().clusters(), [0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_ends_with_its_handle() {
    let dir = tempfile::tempdir().unwrap();
    let export = exported(dir.path()).await;
    let mut client = tokio::net::UnixStream::connect(dir.path().join("nbd")).await.unwrap();
    // A client that was greeted was let in; one that still waits for that would be reset.
    let mut greeting = [0; 18];
    tokio::io::AsyncReadExt::read_exact(&mut client, &mut greeting).await.unwrap();
    drop(export);
    let mut rest = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut client, &mut rest).await.unwrap();
    assert!(!dir.path().join("nbd").exists());
    assert!(!qemu_io(&["-r", "-f", "raw", "-c", "read 0 512", &url(dir.path())]).await.status.success());
}
