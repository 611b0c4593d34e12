//! Taking part when the registrar sends a delta to all nodes at once.

use bootstash_multicast::{Announcement, Group, Instruction};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU64;
use std::ops::Range;

/// Asks for the multicast session of a delta.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRequest {
    /// Its file, as the log names it.
    pub file: String,
}

/// What a node must know to take part. It holds the session's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionReply {
    /// Where to listen.
    pub group: Group,
    /// What is sent a second at most, with all headers.
    pub bytes_per_second: NonZeroU64,
    /// The session.
    pub announcement: Announcement,
}

/// What a node that reported is to do.
pub type ReportReply = Vec<Instruction>;

/// Asks for parts of a delta, and gets their bytes one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PiecesRequest {
    /// From where to where, in bytes.
    pub ranges: Vec<Range<u64>>,
}

impl PiecesRequest {
    /// As many ranges a request may have: what lacks of one block, even where it is every other symbol.
    pub const RANGES_MAX: usize = 1024;
    /// As many bytes they may have together.
    pub const BYTES_MAX: u64 = 2 << 20;

    /// How many bytes it asks for; none where it asks for too much, for nothing, or for what is not in a file of
    /// `file_bytes`.
    pub fn bytes(&self, file_bytes: u64) -> Option<u64> {
        let within = |range: &Range<u64>| range.start < range.end && range.end <= file_bytes;
        let fits = !self.ranges.is_empty() && self.ranges.len() <= Self::RANGES_MAX;
        let bytes = (fits && self.ranges.iter().all(within)).then(|| {
            let mut lengths = self.ranges.iter().map(|range| range.end - range.start);
            lengths.try_fold(0_u64, u64::checked_add)
        })?;
        bytes.filter(|bytes| *bytes <= Self::BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "a request for one range")]
    fn only_what_is_there_and_small_can_be_asked_for() {
        let bytes = |ranges: &[Range<u64>], of| PiecesRequest { ranges: ranges.to_vec() }.bytes(of);
        assert_eq!(bytes(&[0..10, 90..100], 100), Some(20));
        assert_eq!(bytes(&[0..2 << 20], 4 << 20), Some(2 << 20));
        for (bad, of) in [
            (vec![], 100),
            (vec![0..0], 100),
            (vec![std::ops::Range { start: 5, end: 4 }], 100),
            (vec![0..101], 100),
            (vec![0..(2 << 20) + 1], 4 << 20),
            (vec![0..1; 1025], 100),
            (vec![0..u64::MAX, 0..u64::MAX], u64::MAX),
        ] {
            assert_eq!(bytes(&bad, of), None, "{bad:?}");
        }
    }
}
