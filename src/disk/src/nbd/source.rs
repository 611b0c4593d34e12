//! What an export serves.

use async_trait::async_trait;
use std::io;

/// Bytes of a fixed number that can be read anywhere.
#[async_trait]
pub trait BlockSource: Send + Sync + std::fmt::Debug {
    /// How many.
    fn size_bytes(&self) -> u64;

    /// `length` bytes from `offset`; the caller has checked that they are there.
    async fn read(&self, offset: u64, length: u32) -> io::Result<Vec<u8>>;
}

/// Answers every read with an error: proves that a boot needs nothing of its base.
#[derive(Clone, Copy, Debug)]
pub struct Refusing {
    /// The size it claims.
    pub size_bytes: u64,
}

#[async_trait]
impl BlockSource for Refusing {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    async fn read(&self, _offset: u64, _length: u32) -> io::Result<Vec<u8>> {
        Err(io::Error::other("this base refuses every read"))
    }
}
