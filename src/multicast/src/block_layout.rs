//! How an object is cut: into blocks of source symbols, each with repair symbols of its own.
//!
//! Promises: every size computed here fits its type, and nothing larger than a block is ever to be held.

use std::ops::Range;

/// Symbols of a block, and how many may repair it. Checked when made; see [`BlockLayout::new`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockLayout {
    length: u64,
    symbol_bytes: u16,
    source_symbols: u16,
    repair_symbols: u16,
}

/// An object cannot be cut like this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockLayoutError {
    /// Out of bounds.
    #[error("{what} is {given}; it must be {rule}")]
    Bounds {
        /// Which number.
        what: &'static str,
        /// As given.
        given: u64,
        /// What would be accepted.
        rule: &'static str,
    },
    /// Too many blocks.
    #[error(
        "an object of {length} bytes has {blocks} blocks, and {} is the most; send it by unicast",
        BlockLayout::BLOCKS_MAX
    )]
    TooLong {
        /// Of the object.
        length: u64,
        /// As many as it would have.
        blocks: u64,
    },
}

impl BlockLayout {
    /// As many blocks as a receiver keeps account of.
    pub const BLOCKS_MAX: u32 = 16_384;
    /// What a block may take, source and repair.
    pub const BLOCK_BYTES_MAX: u64 = 2 << 20;

    /// The usual cut: 1024 source and 256 repair symbols of 1408 bytes.
    ///
    /// # Errors
    /// Where the object is empty or too long.
    pub fn standard(length: u64) -> Result<Self, BlockLayoutError> {
        Self::new(length, 1408, 1024, 256)
    }

    /// The usual number of symbols, of this size; fewer where they are so large that a block would be too.
    ///
    /// # Errors
    /// Where the object is empty or too long, or the size is out of bounds.
    pub fn with_symbol_bytes(length: u64, symbol_bytes: u16) -> Result<Self, BlockLayoutError> {
        let most = Self::BLOCK_BYTES_MAX / u64::from(symbol_bytes).max(1);
        let (mut source, mut repair) = (1024, 256);
        while u64::from(source + repair) > most && repair > 1 {
            (source, repair) = (source / 2, repair / 2);
        }
        Self::new(length, symbol_bytes, source, repair)
    }

    /// Any cut within the bounds.
    ///
    /// # Errors
    /// Where a number is out of bounds, named in the error.
    pub fn new(
        length: u64,
        symbol_bytes: u16,
        source_symbols: u16,
        repair_symbols: u16,
    ) -> Result<Self, BlockLayoutError> {
        let symbol = u64::from(symbol_bytes);
        require("the length", length, length > 0, "at least 1 byte")?;
        // The code works on 64 bytes at a time, and a datagram is never to be cut by IP.
        let whole = symbol_bytes.is_multiple_of(64) && (64..=8896).contains(&symbol_bytes);
        require("the symbol size", symbol, whole, "a multiple of 64 from 64 to 8896")?;
        let source = u64::from(source_symbols);
        require("the number of source symbols", source, (1..=4096).contains(&source), "1 to 4096")?;
        let repair = u64::from(repair_symbols);
        require("the number of repair symbols", repair, (1..=1024).contains(&repair), "1 to 1024")?;
        let bytes = (source + repair) * symbol;
        require(
            "the size of a block with its repair",
            bytes,
            bytes <= Self::BLOCK_BYTES_MAX,
            "at most 2 MiB",
        )?;
        let blocks = length.div_ceil(source * symbol);
        if blocks > u64::from(Self::BLOCKS_MAX) {
            return Err(BlockLayoutError::TooLong { length, blocks });
        }
        Ok(Self { length, symbol_bytes, source_symbols, repair_symbols })
    }

    /// Bytes of the object.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Bytes of a symbol.
    pub fn symbol_bytes(&self) -> usize {
        usize::from(self.symbol_bytes)
    }

    /// Repair symbols of a block, the same for every block of the session.
    pub fn repair_symbols(&self) -> u16 {
        self.repair_symbols
    }

    /// Source symbols of every block but the last.
    pub fn full_source_symbols(&self) -> u16 {
        self.source_symbols
    }

    /// How many blocks there are.
    pub fn blocks(&self) -> u32 {
        // At most `BLOCKS_MAX`, by `new`.
        u32::try_from(self.length.div_ceil(self.block_bytes())).unwrap_or(Self::BLOCKS_MAX)
    }

    /// Source symbols of this block; the last block may have fewer.
    pub fn source_symbols(&self, block: u32) -> u16 {
        let bytes = self.range(block);
        let symbols = (bytes.end - bytes.start).div_ceil(u64::from(self.symbol_bytes));
        u16::try_from(symbols).unwrap_or(self.source_symbols)
    }

    /// Source and repair symbols of this block.
    pub fn symbols(&self, block: u32) -> u16 {
        self.source_symbols(block) + self.repair_symbols
    }

    /// All source symbols.
    pub fn all_source_symbols(&self) -> u64 {
        self.length.div_ceil(u64::from(self.symbol_bytes))
    }

    /// Where the block's bytes are in the object; empty beyond its end.
    pub fn range(&self, block: u32) -> Range<u64> {
        let start = (u64::from(block) * self.block_bytes()).min(self.length);
        start..(start + self.block_bytes()).min(self.length)
    }

    /// The part of a full block that can get lost and be repaired, from 0 to 1.
    pub(super) fn repairable_loss(&self) -> f64 {
        let (source, repair) = (f64::from(self.source_symbols), f64::from(self.repair_symbols));
        repair / (source + repair)
    }

    /// Bytes of every block but the last.
    pub fn block_bytes(&self) -> u64 {
        u64::from(self.source_symbols) * u64::from(self.symbol_bytes)
    }
}

fn require(what: &'static str, given: u64, holds: bool, rule: &'static str) -> Result<(), BlockLayoutError> {
    if holds { Ok(()) } else { Err(BlockLayoutError::Bounds { what, given, rule }) }
}
