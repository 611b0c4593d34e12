//! Where a base holds data, and where it is known to be zero without a read.

/// A part of a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Its first byte.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
    /// What is there.
    pub kind: ExtentKind,
}

/// What a part of a base holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtentKind {
    /// Bytes that must be read to be known; they may be zero.
    Data,
    /// Bytes that are zero, as is known without reading them.
    Zero,
}
