//! The record a send stream begins with: which snapshot it leads from and to.
//!
//! Promises: nothing of the stream is lost by looking; what is no such record is left for ZFS to
//! refuse in its own words. Layout: `struct drr_begin` of OpenZFS's `include/sys/zfs_ioctl.h`.

use crate::ByteStream;
use bootstash_base::names::Guid;
use std::io::{self, Cursor};
use tokio::io::AsyncReadExt;

/// `DRR_BEGIN`: type and length of the payload, then magic, version, time, kind, flags, GUIDs, name.
const MAGIC_AT: usize = 8;
const FROM_GUID_AT: usize = 48;
const HEAD_BYTES: u64 = 56;
const MAGIC: u64 = 0x2_F5BA_CBAC;

/// The base an incremental stream wants; `None` for a full one, and for what is no stream.
///
/// # Errors
/// Those of the stream.
pub(super) async fn base(mut stream: ByteStream) -> io::Result<(Option<Guid>, ByteStream)> {
    let mut head = Vec::new();
    (&mut stream).take(HEAD_BYTES).read_to_end(&mut head).await?;
    let base = base_of(&head);
    Ok((base, Box::pin(Cursor::new(head).chain(stream))))
}

fn base_of(head: &[u8]) -> Option<Guid> {
    let number = |at: usize| <[u8; 8]>::try_from(head.get(at..at + 8)?).ok();
    let (magic, from) = (number(MAGIC_AT)?, number(FROM_GUID_AT)?);
    // A stream is in the byte order of the machine that sent it.
    let from = match (u64::from_le_bytes(magic), u64::from_be_bytes(magic)) {
        (MAGIC, _) => u64::from_le_bytes(from),
        (_, MAGIC) => u64::from_be_bytes(from),
        _ => return None,
    };
    (from != 0).then(|| Guid::new(from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(from: u64, bytes: fn(u64) -> [u8; 8]) -> Vec<u8> {
        let mut record = vec![0; 312];
        record[MAGIC_AT..MAGIC_AT + 8].copy_from_slice(&bytes(MAGIC));
        record[FROM_GUID_AT..FROM_GUID_AT + 8].copy_from_slice(&bytes(from));
        record
    }

    #[test]
    fn tells_increments_from_full_streams_in_both_byte_orders() {
        for bytes in [u64::to_le_bytes, u64::to_be_bytes] {
            assert_eq!(base_of(&begin(0, bytes)), None);
            assert_eq!(base_of(&begin(u64::MAX - 5, bytes)), Some(Guid::new(u64::MAX - 5)));
        }
        assert_eq!(base_of(&begin(7, u64::to_le_bytes)[..50]), None);
        assert_eq!(base_of(&[0xff; 312]), None);
    }

    #[tokio::test]
    async fn loses_nothing_of_the_stream() {
        for whole in [begin(7, u64::to_le_bytes), vec![1, 2, 3], Vec::new()] {
            let (_, mut stream) = base(Box::pin(Cursor::new(whole.clone()))).await.unwrap();
            let mut again = Vec::new();
            stream.read_to_end(&mut again).await.unwrap();
            assert_eq!(again, whole);
        }
    }
}
