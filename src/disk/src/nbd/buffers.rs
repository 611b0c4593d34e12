//! The buffers of one connection, and with them its bound: how many reads are in flight, and how many bytes.
//!
//! Promises: whoever waits gets its turn in order; buffers are used again, the last one first, so that a client that asks for
//! one thing at a time costs one buffer.

use parking_lot::Mutex;
use std::io;
use std::ops::{Deref, DerefMut};
use tokio::sync::{Semaphore, SemaphorePermit};

/// What a connection may have in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlightLimits {
    /// Reads that are not answered yet.
    pub(super) reads: usize,
    /// Bytes of these together. No read may be longer.
    pub(super) bytes: u32,
    /// A buffer that grew larger is freed after use.
    pub(super) kept_buffer_bytes: usize,
}

/// The buffers of one connection.
#[derive(Debug)]
pub(super) struct BufferPool {
    limits: InFlightLimits,
    reads: Semaphore,
    bytes: Semaphore,
    free: Mutex<Vec<Vec<u8>>>,
}

/// A buffer, and the right to one read. Both go back on drop.
#[derive(Debug)]
pub(super) struct ReadBuffer<'a> {
    bytes: Vec<u8>,
    pool: &'a BufferPool,
    _permits: [SemaphorePermit<'a>; 2],
}

impl BufferPool {
    pub(super) fn new(limits: InFlightLimits) -> Self {
        let (reads, bytes) = (Semaphore::new(limits.reads), Semaphore::new(limits.bytes as usize));
        Self { limits, reads, bytes, free: Mutex::default() }
    }

    /// Waits for a buffer of `length` bytes, which may hold what an earlier read left there.
    pub(super) async fn acquire(&self, length: u32) -> io::Result<ReadBuffer<'_>> {
        let read = self.reads.acquire().await.map_err(io::Error::other)?;
        let room = self.bytes.acquire_many(length).await.map_err(io::Error::other)?;
        let mut bytes = self.free.lock().pop().unwrap_or_default();
        bytes.reserve_exact((length as usize).saturating_sub(bytes.len()));
        bytes.resize(length as usize, 0);
        Ok(ReadBuffer { bytes, pool: self, _permits: [read, room] })
    }
}

impl Deref for ReadBuffer<'_> {
    type Target = Vec<u8>;
    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for ReadBuffer<'_> {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Drop for ReadBuffer<'_> {
    fn drop(&mut self) {
        if (1..=self.pool.limits.kept_buffer_bytes).contains(&self.bytes.capacity()) {
            self.pool.free.lock().push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn pool() -> BufferPool {
        BufferPool::new(InFlightLimits { reads: 3, bytes: 1000, kept_buffer_bytes: 400 })
    }

    #[tokio::test]
    async fn a_buffer_is_used_again() {
        let pool = pool();
        let first = pool.acquire(400).await.unwrap().as_ptr();
        for length in [400, 1, 300, 400] {
            let buffer = pool.acquire(length).await.unwrap();
            assert_eq!((buffer.as_ptr(), buffer.len()), (first, length as usize));
        }
    }

    #[tokio::test]
    async fn a_large_buffer_is_not_kept() {
        let pool = pool();
        drop(pool.acquire(401).await.unwrap());
        assert!(pool.free.lock().is_empty());
    }

    #[tokio::test]
    async fn reads_and_bytes_are_both_bounded() {
        let pool = pool();
        let held = [pool.acquire(1).await.unwrap(), pool.acquire(900).await.unwrap()];
        assert!(pool.acquire(100).now_or_never().is_none(), "1001 bytes were given out");
        let third = pool.acquire(99).await.unwrap();
        assert!(pool.acquire(0).now_or_never().is_none(), "four reads were let in");
        drop((held, third));
        assert!(pool.acquire(1000).now_or_never().is_some(), "what was given back is lost");
    }
}
