//! What an export serves.

use async_trait::async_trait;
use std::io;

/// Bytes of a fixed number that can be read anywhere, by many readers at once.
///
/// A read that is dropped before its end must stop, or end by itself: that is how an export ends its connections.
#[async_trait]
pub trait BlockSource: Send + Sync + std::fmt::Debug {
    /// How many.
    fn size_bytes(&self) -> u64;

    /// Fills `buffer` from `offset`; the caller has checked that they are within the size. What `buffer` held before is of
    /// no meaning, and must all be overwritten where this succeeds.
    ///
    /// It is a vector so that a source that blocks can take it to a thread and put it back; its length stays.
    async fn read(&self, buffer: &mut Vec<u8>, offset: u64) -> io::Result<()>;
}

/// Answers every read with an error: proves that a boot needs nothing of its base.
#[derive(Clone, Copy, Debug)]
pub struct FailingSource {
    /// The size it claims.
    pub size_bytes: u64,
}

#[async_trait]
impl BlockSource for FailingSource {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    async fn read(&self, _buffer: &mut Vec<u8>, _offset: u64) -> io::Result<()> {
        Err(io::Error::other("this base refuses every read"))
    }
}
