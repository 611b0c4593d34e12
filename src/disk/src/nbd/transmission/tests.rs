//! A client of a few lines against a source whose reads end when the test says so.

use super::super::{BlockSource, Export};
use super::LIMITS;
use crate::qcow2::CLUSTER_BYTES;
use async_trait::async_trait;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

const SIZE: u64 = 1 << 30;
const READ: u16 = 0;
const DISCONNECT: u16 = 2;
const EIO: u32 = 5;

/// A read that has begun. It ends with what is sent to `end`; `end` closes where the read is dropped.
struct BegunRead {
    offset: u64,
    end: oneshot::Sender<io::Result<()>>,
}

#[derive(Debug)]
struct ControlledSource {
    begun: mpsc::UnboundedSender<BegunRead>,
    in_flight: Peak,
}

/// How many reads, and how many bytes, there were at once at most.
#[derive(Debug, Default)]
struct Peak {
    reads: AtomicUsize,
    most_reads: AtomicUsize,
    bytes: AtomicU64,
    most_bytes: AtomicU64,
}

impl Peak {
    fn add(&self, bytes: u64) {
        let reads = self.reads.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_reads.fetch_max(reads, Ordering::SeqCst);
        let bytes = self.bytes.fetch_add(bytes, Ordering::SeqCst) + bytes;
        self.most_bytes.fetch_max(bytes, Ordering::SeqCst);
    }

    fn remove(&self, bytes: u64) {
        self.reads.fetch_sub(1, Ordering::SeqCst);
        self.bytes.fetch_sub(bytes, Ordering::SeqCst);
    }
}

#[async_trait]
impl BlockSource for ControlledSource {
    fn size_bytes(&self) -> u64 {
        SIZE
    }

    async fn read(&self, buffer: &mut Vec<u8>, offset: u64) -> io::Result<()> {
        let (end, ended) = oneshot::channel();
        self.in_flight.add(buffer.len() as u64);
        self.begun.send(BegunRead { offset, end }).map_err(io::Error::other)?;
        let result = ended.await.map_err(io::Error::other)?;
        self.in_flight.remove(buffer.len() as u64);
        buffer.fill(content(offset));
        result
    }
}

/// What each byte of a read from `offset` is.
fn content(offset: u64) -> u8 {
    u8::try_from(offset / CLUSTER_BYTES % 251).unwrap()
}

struct Server {
    export: Export,
    source: Arc<ControlledSource>,
    begun: mpsc::UnboundedReceiver<BegunRead>,
    dir: TempDir,
}

impl Server {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (sender, begun) = mpsc::unbounded_channel();
        let source = Arc::new(ControlledSource { begun: sender, in_flight: Peak::default() });
        let export =
            Export::start(&dir.path().join("nbd"), Arc::clone(&source) as Arc<dyn BlockSource>).unwrap();
        Self { export, source, begun, dir }
    }

    async fn client(&self) -> Client {
        Client::connect(&self.dir.path().join("nbd")).await
    }

    async fn next_read(&mut self) -> BegunRead {
        self.begun.recv().await.unwrap()
    }

    async fn next_reads(&mut self, count: usize) -> Vec<BegunRead> {
        let mut reads = Vec::new();
        while reads.len() < count {
            reads.push(self.next_read().await);
        }
        reads
    }

    /// Gives everything else of this thread many turns, and fails if a further read begins.
    async fn assert_no_read_begins(&mut self) {
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert!(self.begun.try_recv().is_err(), "a read too many has begun");
    }
}

struct Client(UnixStream);

impl Client {
    async fn connect(socket: &Path) -> Self {
        let mut stream = UnixStream::connect(socket).await.unwrap();
        stream.read_exact(&mut [0; 18]).await.unwrap();
        stream.write_u32(3).await.unwrap();
        // EXPORT_NAME, the empty one.
        stream.write_all(b"IHAVEOPT\0\0\0\x01\0\0\0\0").await.unwrap();
        assert_eq!(stream.read_u64().await.unwrap(), SIZE);
        stream.read_u16().await.unwrap();
        Self(stream)
    }

    async fn request(&mut self, command: u16, cookie: u64, offset: u64, length: u32) {
        let mut bytes = 0x2560_9513_u32.to_be_bytes().to_vec();
        bytes.extend([0; 2]);
        bytes.extend(command.to_be_bytes());
        bytes.extend(cookie.to_be_bytes());
        bytes.extend(offset.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        self.0.write_all(&bytes).await.unwrap();
    }

    /// Asks for `length` bytes of cluster number `cookie`.
    async fn read(&mut self, cookie: u64, length: u32) {
        self.request(READ, cookie, cookie * CLUSTER_BYTES, length).await;
    }

    /// Cookie and error of the next reply.
    async fn reply_head(&mut self) -> (u64, u32) {
        assert_eq!(self.0.read_u32().await.unwrap(), 0x6744_6698);
        let error = self.0.read_u32().await.unwrap();
        (self.0.read_u64().await.unwrap(), error)
    }

    /// The cookie of the next reply, which must carry `length` bytes of the cluster of that number.
    async fn reply(&mut self, length: u32) -> u64 {
        let (cookie, error) = self.reply_head().await;
        assert_eq!(error, 0);
        let mut data = vec![0; length as usize];
        self.0.read_exact(&mut data).await.unwrap();
        assert!(data.iter().all(|&byte| byte == content(cookie * CLUSTER_BYTES)), "bytes of another read");
        cookie
    }

    async fn assert_end(&mut self) {
        assert_eq!(self.0.read(&mut [0; 1]).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn replies_come_as_reads_end_and_the_trace_as_requests_came() {
    let mut server = Server::start();
    let mut client = server.client().await;
    for cookie in [7, 3, 9] {
        client.read(cookie, 512).await;
    }
    let reads = server.next_reads(3).await;
    assert_eq!(server.export.trace().clusters(), [7, 3, 9]);
    let mut ends: Vec<_> = reads.into_iter().map(|read| (read.offset / CLUSTER_BYTES, read.end)).collect();
    for cookie in [9, 7, 3] {
        let at = ends.iter().position(|(cluster, _)| *cluster == cookie).unwrap();
        ends.remove(at).1.send(Ok(())).unwrap();
        assert_eq!(client.reply(512).await, cookie);
    }
}

#[tokio::test]
async fn no_more_reads_are_in_flight_than_the_limit() {
    let mut server = Server::start();
    let mut client = server.client().await;
    let all = 4 * LIMITS.reads as u64;
    for cookie in 0..all {
        client.read(cookie, 4096).await;
    }
    let mut held = server.next_reads(LIMITS.reads).await;
    server.assert_no_read_begins().await;
    let mut answered = Vec::new();
    while let Some(read) = held.pop() {
        read.end.send(Ok(())).unwrap();
        answered.push(client.reply(4096).await);
        if answered.len() + held.len() < usize::try_from(all).unwrap() {
            held.push(server.next_read().await);
        }
    }
    assert_eq!(server.source.in_flight.most_reads.load(Ordering::SeqCst), LIMITS.reads);
    answered.sort_unstable();
    assert_eq!(answered, (0..all).collect::<Vec<_>>());
    assert_eq!(server.export.trace().clusters(), (0..all).collect::<Vec<_>>());
}

#[tokio::test]
async fn no_more_bytes_are_in_flight_than_the_limit() {
    let mut server = Server::start();
    let mut client = server.client().await;
    let length = LIMITS.bytes / 2 + 1;
    for cookie in 0..3 {
        client.read(cookie, length).await;
    }
    for cookie in 0..3 {
        let read = server.next_read().await;
        server.assert_no_read_begins().await;
        read.end.send(Ok(())).unwrap();
        assert_eq!(client.reply(length).await, cookie);
    }
    assert_eq!(server.source.in_flight.most_bytes.load(Ordering::SeqCst), u64::from(length));
}

#[tokio::test]
async fn a_client_that_takes_no_replies_gets_no_more_reads() {
    let mut server = Server::start();
    let mut client = server.client().await;
    // More than a socket holds, so that no reply is ever sent whole.
    let length = 1 << 20;
    for cookie in 0..40 {
        client.read(cookie, length).await;
    }
    for read in server.next_reads(LIMITS.reads).await {
        read.end.send(Ok(())).unwrap();
    }
    server.assert_no_read_begins().await;
    for cookie in 0..LIMITS.reads as u64 {
        assert_eq!(client.reply(length).await, cookie);
    }
    server.next_reads(LIMITS.reads).await;
}

#[tokio::test]
async fn a_read_that_fails_fails_alone() {
    let mut server = Server::start();
    let mut client = server.client().await;
    for cookie in 0..3 {
        client.read(cookie, 512).await;
    }
    for (read, result) in server.next_reads(3).await.into_iter().zip([Ok(()), Err(()), Ok(())]) {
        read.end.send(result.map_err(|()| io::ErrorKind::StorageFull.into())).unwrap();
    }
    assert_eq!(client.reply(512).await, 0);
    assert_eq!(client.reply_head().await, (1, EIO));
    assert_eq!(client.reply(512).await, 2);
}

#[tokio::test]
async fn what_is_in_flight_at_a_disconnect_is_answered_and_then_it_ends() {
    let mut server = Server::start();
    let mut client = server.client().await;
    client.read(1, 512).await;
    client.request(DISCONNECT, 2, 0, 0).await;
    client.read(3, 512).await;
    let read = server.next_read().await;
    server.assert_no_read_begins().await;
    read.end.send(Ok(())).unwrap();
    assert_eq!(client.reply(512).await, 1);
    drop(client);
    server.assert_no_read_begins().await;
}

#[tokio::test]
async fn a_disconnect_without_work_ends_the_connection() {
    let server = Server::start();
    let mut client = server.client().await;
    client.request(DISCONNECT, 1, 0, 0).await;
    client.assert_end().await;
}

#[tokio::test]
async fn a_client_that_goes_takes_its_reads_along() {
    // As many as are let in, and more than that, where the server has requests that it cannot take yet.
    for requests in [LIMITS.reads, 2 * LIMITS.reads] {
        let mut server = Server::start();
        let mut client = server.client().await;
        for cookie in 0..requests as u64 {
            client.read(cookie, 512).await;
        }
        let mut reads = server.next_reads(LIMITS.reads).await;
        drop(client);
        for read in &mut reads {
            read.end.closed().await;
        }
    }
}

#[tokio::test]
async fn bytes_that_are_no_request_end_the_connection_and_its_reads() {
    let mut server = Server::start();
    let mut client = server.client().await;
    client.read(1, 512).await;
    let mut read = server.next_read().await;
    client.0.write_all(&[0; 28]).await.unwrap();
    read.end.closed().await;
    client.assert_end().await;
}

#[tokio::test]
async fn one_client_that_stalls_holds_up_no_other() {
    let mut server = Server::start();
    let mut stalled = server.client().await;
    for cookie in 0..2 * LIMITS.reads as u64 {
        stalled.read(cookie, 512).await;
    }
    let _held = server.next_reads(LIMITS.reads).await;
    let mut other = server.client().await;
    other.read(100, 512).await;
    server.next_read().await.end.send(Ok(())).unwrap();
    assert_eq!(other.reply(512).await, 100);
}

#[tokio::test]
async fn the_end_of_an_export_ends_all_reads() {
    let mut server = Server::start();
    let (mut one, mut two) = (server.client().await, server.client().await);
    one.read(1, 512).await;
    two.read(2, 512).await;
    let mut reads = server.next_reads(2).await;
    drop(server.export);
    for read in &mut reads {
        read.end.closed().await;
    }
    one.assert_end().await;
    two.assert_end().await;
}
