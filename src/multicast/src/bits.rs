//! A row of bits of fixed length.

/// Bits, all clear at first.
#[derive(Clone, Debug)]
pub(super) struct Bits {
    words: Vec<u64>,
    length: u16,
    set: u16,
}

impl Bits {
    pub(super) fn new(length: u16) -> Self {
        Self { words: vec![0; usize::from(length).div_ceil(64)], length, set: 0 }
    }

    pub(super) fn get(&self, index: u16) -> bool {
        self.words.get(usize::from(index / 64)).is_some_and(|word| (word >> (index % 64)) & 1 == 1)
    }

    /// Whether it was clear before.
    pub(super) fn set(&mut self, index: u16) -> bool {
        let fresh = !self.get(index);
        if let Some(word) = self.words.get_mut(usize::from(index / 64)) {
            *word |= 1 << (index % 64);
            self.set += u16::from(fresh);
        }
        fresh
    }

    pub(super) fn length(&self) -> u16 {
        self.length
    }

    /// How many are set.
    pub(super) fn count(&self) -> u16 {
        self.set
    }
}
