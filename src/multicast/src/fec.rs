//! Reed–Solomon over the symbols of a block: any as many of them as it has source symbols give it back.
//!
//! The number of repair symbols must be the same on both sides: which bytes they are depends on it.

use super::block_layout::BlockLayout;
use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};

/// The code cannot be computed.
#[derive(Debug, thiserror::Error, bootstash_base::error::Classified)]
#[error("the repair symbols of block {block} cannot be computed; send it by unicast")]
#[class(permanent)]
pub struct FecError {
    /// Which block.
    pub block: u32,
    /// The error that caused it.
    pub source: reed_solomon_simd::Error,
}

/// The repair symbols of a block, one after the other. `padded` is all its source symbols.
///
/// # Errors
/// Where `padded` is not of the block's length.
pub fn encode(layout: &BlockLayout, block: u32, padded: &[u8]) -> Result<Vec<u8>, FecError> {
    encode_block(layout, block, padded).map_err(|source| FecError { block, source })
}

fn encode_block(
    layout: &BlockLayout,
    block: u32,
    padded: &[u8],
) -> Result<Vec<u8>, reed_solomon_simd::Error> {
    let (source, symbol) = (layout.source_symbols(block), layout.symbol_bytes());
    let mut encoder = ReedSolomonEncoder::new(source.into(), layout.repair_symbols().into(), symbol)?;
    for symbol in padded.chunks(symbol) {
        encoder.add_original_shard(symbol)?;
    }
    Ok(encoder.encode()?.recovery_iter().flatten().copied().collect())
}

/// Fills in the source symbols that are not `present`, from the others and as many of `repair` (by index).
///
/// # Errors
/// Where there are fewer symbols than the block has source symbols, or one is there twice.
///
/// # Panics
/// Where `padded` is shorter than the block's source symbols.
pub fn decode(
    layout: &BlockLayout,
    block: u32,
    padded: &mut [u8],
    present: impl Fn(u16) -> bool,
    repair: &[(u16, Vec<u8>)],
) -> Result<(), FecError> {
    decode_block(layout, block, padded, present, repair).map_err(|source| FecError { block, source })
}

fn decode_block(
    layout: &BlockLayout,
    block: u32,
    padded: &mut [u8],
    present: impl Fn(u16) -> bool,
    repair: &[(u16, Vec<u8>)],
) -> Result<(), reed_solomon_simd::Error> {
    let (source, bytes) = (layout.source_symbols(block), layout.symbol_bytes());
    let mut decoder = ReedSolomonDecoder::new(source.into(), layout.repair_symbols().into(), bytes)?;
    for index in (0..source).filter(|index| present(*index)) {
        decoder.add_original_shard(index.into(), &padded[usize::from(index) * bytes..][..bytes])?;
    }
    for (index, symbol) in repair {
        decoder.add_recovery_shard(usize::from(*index), symbol)?;
    }
    for (index, symbol) in decoder.decode()?.restored_original_iter() {
        padded[index * bytes..][..bytes].copy_from_slice(symbol);
    }
    Ok(())
}
