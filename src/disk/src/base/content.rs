//! What a base holds, by digests: one of all of it, and those of a few blocks, by which a node tells it from another
//! file without reading it whole.
//!
//! Promises: holes and written zeros are the same; the samples follow content (a file has no sample where it is zero),
//! so that they differ between images that have only their boot loader in common.

use crate::nbd::ExtentKind;
use crate::raw_file;
use blake3::Hash;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;

/// What is digested by itself.
pub const BLOCK_BYTES: u64 = 64 << 10;
/// Samples there are at most, and so reads it takes to compare them.
pub const MOST_SAMPLES: usize = 64;
/// Of these, blocks where data begins after a gap: partition tables, and the superblocks of file systems, which every
/// mount changes. The others are drawn from all blocks.
const GAP_SAMPLES: usize = 16;
static ZEROS: [u8; BLOCK_BYTES as usize] = [0; BLOCK_BYTES as usize];

/// The digests of a base's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentDigest {
    /// BLAKE3 over, for each block of 64 KiB that is not zero, its number (8 bytes, little-endian) and its BLAKE3; then
    /// the file's size. A last block that is shorter is filled up with zeros.
    pub blake3: String,
    /// Some of these blocks, in order; none where images are only listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Sample>,
}

/// One block of a base; in text its number and its digest, as `163:9f86d081884c7d65`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sample {
    /// Its number, from 0.
    pub block: u64,
    /// The first bytes of the BLAKE3 of its 64 KiB.
    pub digest: [u8; 8],
}

impl Sample {
    fn new(block: u64, hash: &Hash) -> Self {
        let mut digest = [0; 8];
        digest.copy_from_slice(&hash.as_bytes()[..8]);
        Self { block, digest }
    }

    /// Where it begins in the file.
    pub fn offset(&self) -> u64 {
        self.block.saturating_mul(BLOCK_BYTES)
    }
}

impl From<Sample> for String {
    fn from(sample: Sample) -> Self {
        format!("{}:{:016x}", sample.block, u64::from_be_bytes(sample.digest))
    }
}

impl TryFrom<String> for Sample {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let parts = text.split_once(':').filter(|(_, digest)| digest.len() == 16);
        let sample = parts.and_then(|(block, digest)| {
            let digest = u64::from_str_radix(digest, 16).ok()?.to_be_bytes();
            Some(Self { block: block.parse().ok()?, digest })
        });
        sample.ok_or_else(|| format!("{text:?} is no block's number and digest"))
    }
}

impl ContentDigest {
    /// Reads all data of `file`. Blocks; asks `go_on` between reads, and ends early where that fails.
    ///
    /// # Errors
    /// What reading met, or `go_on` said.
    pub fn of(file: &File, mut go_on: impl FnMut() -> io::Result<()>) -> io::Result<Self> {
        let size_bytes = file.metadata()?.len();
        let (mut hasher, mut next) = (ContentHasher::default(), 0);
        let mut block = vec![0; BLOCK_BYTES as usize];
        while next * BLOCK_BYTES < size_bytes {
            go_on()?;
            let (kind, length) = raw_file::extent(file, next * BLOCK_BYTES)?;
            let end =
                next.saturating_add((length / BLOCK_BYTES).max(1)).min(size_bytes.div_ceil(BLOCK_BYTES));
            // A block that is partly a hole is read, too.
            if kind == ExtentKind::Zero && length >= BLOCK_BYTES {
                next = end;
                continue;
            }
            for number in next..end {
                go_on()?;
                raw_file::read_padded(file, &mut block, number * BLOCK_BYTES)?;
                hasher.block(number, &block);
            }
            next = end;
        }
        Ok(hasher.finish(size_bytes))
    }

    /// Reads the samples of `file`: where the first is that differs. Blocks, with at most [`MOST_SAMPLES`] reads; asks
    /// `go_on` before each.
    ///
    /// # Errors
    /// What reading met, or `go_on` said.
    pub(super) fn first_difference(
        &self,
        file: &File,
        mut go_on: impl FnMut() -> io::Result<()>,
    ) -> io::Result<Option<u64>> {
        let mut block = vec![0; BLOCK_BYTES as usize];
        for sample in self.samples.iter().take(MOST_SAMPLES) {
            go_on()?;
            raw_file::read_padded(file, &mut block, sample.offset())?;
            if Sample::new(sample.block, &blake3::hash(&block)) != *sample {
                return Ok(Some(sample.offset()));
            }
        }
        Ok(None)
    }
}

/// Digests blocks as somebody reads them, in order. Memory does not grow with the file.
#[derive(Debug, Default)]
pub struct ContentHasher {
    whole: blake3::Hasher,
    /// The block after the last one that was not zero.
    after_data: Option<u64>,
    /// Blocks that follow a gap.
    gaps: BTreeMap<u64, Hash>,
    /// Of all that differ from each other, those with the smallest digests: drawn as by lot, and the same each time.
    drawn: BTreeMap<[u8; 32], u64>,
}

impl ContentHasher {
    /// Takes in block `number`, whose bytes may end early with the file. Blocks that are zero may be left out.
    pub fn block(&mut self, number: u64, bytes: &[u8]) {
        if *bytes == ZEROS[..bytes.len()] {
            return;
        }
        let hash = block_hash(bytes);
        self.whole.update(&number.to_le_bytes()).update(hash.as_bytes());
        if self.after_data != Some(number) && self.gaps.len() < GAP_SAMPLES {
            self.gaps.insert(number, hash);
        }
        self.after_data = Some(number + 1);
        self.draw(number, hash);
    }

    fn draw(&mut self, number: u64, hash: Hash) {
        let full = self.drawn.len() >= MOST_SAMPLES - GAP_SAMPLES;
        if full && self.drawn.last_key_value().is_some_and(|(largest, _)| largest <= hash.as_bytes()) {
            return;
        }
        self.drawn.entry(*hash.as_bytes()).or_insert(number);
        if self.drawn.len() > MOST_SAMPLES - GAP_SAMPLES {
            self.drawn.pop_last();
        }
    }

    /// The digests of a file of `size_bytes`.
    pub fn finish(mut self, size_bytes: u64) -> ContentDigest {
        self.whole.update(&size_bytes.to_le_bytes());
        let mut blocks = self.gaps;
        blocks.extend(self.drawn.into_iter().map(|(hash, number)| (number, Hash::from_bytes(hash))));
        ContentDigest {
            blake3: self.whole.finalize().to_hex().to_string(),
            samples: blocks.iter().map(|(&number, hash)| Sample::new(number, hash)).collect(),
        }
    }
}

fn block_hash(bytes: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(bytes).update(&ZEROS[..ZEROS.len().saturating_sub(bytes.len())]);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    const BLOCK: u64 = BLOCK_BYTES;

    fn file(size: u64, written: &[(u64, &[u8])]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        for (offset, bytes) in written {
            file.write_all_at(bytes, *offset).unwrap();
        }
        file
    }

    fn digest(file: &File) -> ContentDigest {
        ContentDigest::of(file, || Ok(())).unwrap()
    }

    /// Bytes that depend on `seed`, none of two blocks alike.
    fn noise(seed: &str, bytes: u64) -> Vec<u8> {
        let mut noise = vec![0; bytes as usize];
        blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut noise);
        noise
    }

    #[test]
    fn one_byte_anywhere_makes_another_digest_and_holes_do_not() {
        let size = 9 * BLOCK + 700;
        let plain = digest(&file(size, &[(BLOCK, b"x")]));
        let zeros = vec![0; 3 * BLOCK as usize];
        assert_eq!(digest(&file(size, &[(4 * BLOCK, &zeros), (BLOCK, b"x")])), plain);
        for at in [0, BLOCK + 1, 5 * BLOCK - 1, size - 1] {
            assert_ne!(digest(&file(size, &[(BLOCK, b"x"), (at, b"y")])).blake3, plain.blake3, "{at}");
        }
        assert_ne!(digest(&file(size, &[(2 * BLOCK, b"x")])).blake3, plain.blake3, "a block moved");
        assert_ne!(digest(&file(size - 1, &[(BLOCK, b"x")])).blake3, plain.blake3, "a byte is missing");
    }

    #[test]
    fn a_block_that_is_partly_a_hole_is_read() {
        for (size, at) in [(3 * BLOCK, 2 * BLOCK - 1), (3 * BLOCK, BLOCK + 40_000), (700, 699)] {
            assert_eq!(digest(&file(size, &[(at, b"x")])).samples.len(), 1, "{at} of {size}");
        }
        assert_eq!(digest(&file(0, &[])).samples, []);
    }

    #[test]
    fn who_reads_block_by_block_gets_the_digest_of_the_file() {
        let bytes = noise("a", 2 * BLOCK + 700);
        let file = file(8 * BLOCK, &[(5 * BLOCK, &bytes)]);
        let mut hasher = ContentHasher::default();
        for (number, block) in (5..).zip(bytes.chunks(BLOCK as usize)) {
            hasher.block(number, block);
        }
        assert_eq!(hasher.finish(8 * BLOCK), digest(&file));
    }

    #[test]
    fn samples_are_bounded_differ_from_each_other_and_are_never_zero() {
        let (common, own) = (noise("boot loader", 40 * BLOCK), noise("own", 200 * BLOCK));
        let same = vec![7; 100 * BLOCK as usize];
        let written: [(u64, &[u8]); 3] = [(0, &common), (64 * BLOCK, &same), (300 * BLOCK, &own)];
        let samples = digest(&file(4096 * BLOCK, &written)).samples;
        assert!(samples.len() <= MOST_SAMPLES && samples.len() >= MOST_SAMPLES - GAP_SAMPLES);
        for gap in [0, 64 * BLOCK, 300 * BLOCK] {
            assert!(samples.iter().any(|sample| sample.offset() == gap), "{gap} is no sample");
        }
        let of = |blocks: std::ops::Range<u64>| {
            samples.iter().filter(|sample| blocks.contains(&sample.block)).count()
        };
        assert!(of(300..500) > of(0..40), "most of what is there is its own");
        assert!(of(64..164) <= 2, "blocks that are alike count once");
        assert_eq!(of(0..40) + of(64..164) + of(300..500), samples.len());
    }

    #[test]
    fn a_sample_is_short_in_text_and_read_back() {
        let sample = Sample { block: 163, digest: [0x9f, 0x86, 0xd0, 0x81, 0x88, 0x4c, 0x7d, 0x65] };
        let text = serde_json::to_string(&sample).unwrap();
        assert_eq!(text, r#""163:9f86d081884c7d65""#);
        assert_eq!(serde_json::from_str::<Sample>(&text).unwrap(), sample);
        for wrong in ["", "163", "163:9f", "x:9f86d081884c7d65", "1:9f86d081884c7d6g", "-1:9f86d081884c7d65"]
        {
            assert!(Sample::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn samples_tell_images_apart_that_have_a_boot_loader_in_common() {
        let common = noise("boot loader", 4 * BLOCK);
        let image = |seed| file(256 * BLOCK, &[(0, &common), (16 * BLOCK, &noise(seed, 40 * BLOCK))]);
        let (a, b) = (image("a"), image("b"));
        let digest = digest(&a);
        assert_eq!(digest.first_difference(&a, || Ok(())).unwrap(), None);
        assert_eq!(digest.first_difference(&b, || Ok(())).unwrap(), Some(16 * BLOCK));
        let mut reads = 0;
        let late = digest.first_difference(&a, || {
            reads += 1;
            if reads > 3 { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
        });
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
