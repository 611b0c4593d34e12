//! Sender and receivers on a simulated network, in virtual time, by seed.

mod hostile;
mod keys;
mod net;
mod parts;
mod rates;
mod transfer;

use super::{Announcement, BlockLayout};
use std::num::NonZeroU64;
use std::sync::Arc;

/// A hundred Mbit/s, were the symbols of the usual size.
fn rate() -> NonZeroU64 {
    NonZeroU64::new(1_370_000).unwrap()
}

/// Bytes that differ everywhere.
fn object(length: usize, seed: u64) -> Vec<u8> {
    let mut rng = net::Rng::new(seed);
    (0..length).map(|_| rng.next() as u8).collect()
}

/// Cut like this, with its hashes.
fn announce(object: &[u8], symbol_bytes: u16, source: u16, repair: u16) -> Arc<Announcement> {
    let layout = BlockLayout::new(object.len() as u64, symbol_bytes, source, repair).unwrap();
    let hash = |block| {
        let range = layout.range(block);
        *blake3::hash(&object[range.start as usize..range.end as usize]).as_bytes()
    };
    let hashes = (0..layout.blocks()).map(hash).collect();
    Arc::new(Announcement::new(layout, hashes, rate().get()).unwrap())
}
