//! The record a send stream begins with: which snapshot it leads from and to.
//!
//! Promises: nothing of the stream is lost by looking; what is no such record is left for ZFS to
//! refuse in its own words. Layout: `struct drr_begin` of OpenZFS's `include/sys/zfs_ioctl.h`.

use crate::ByteStream;
use bootstash_base::names::{Guid, SnapshotName};
use std::io::{self, Cursor};
use tokio::io::AsyncReadExt;

/// `DRR_BEGIN`: type and length of the payload, then magic, version, time, kind, flags, GUIDs, name.
const MAGIC_AT: usize = 8;
const TO_GUID_AT: usize = 40;
const FROM_GUID_AT: usize = 48;
const TO_NAME_AT: usize = 56;
const HEAD_BYTES: usize = 312;
const MAGIC: u64 = 0x2_F5BA_CBAC;

/// What a stream says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Begin {
    /// The base it wants; `None` for a full one.
    pub(super) from: Option<Guid>,
    /// The snapshot it leads to.
    pub(super) to: Guid,
    /// That snapshot's name, where it is one of ours.
    pub(super) to_name: Option<SnapshotName>,
}

/// How a stream begins; `None` for what is no stream.
///
/// # Errors
/// Those of the stream.
pub(super) async fn begin(mut stream: ByteStream) -> io::Result<(Option<Begin>, ByteStream)> {
    let mut head = Vec::new();
    (&mut stream).take(HEAD_BYTES as u64).read_to_end(&mut head).await?;
    let begin = parse(&head);
    Ok((begin, Box::pin(Cursor::new(head).chain(stream))))
}

fn parse(head: &[u8]) -> Option<Begin> {
    let number = |at: usize| <[u8; 8]>::try_from(head.get(at..at + 8)?).ok();
    let magic = number(MAGIC_AT)?;
    // A stream is in the byte order of the machine that sent it.
    let read = match (u64::from_le_bytes(magic), u64::from_be_bytes(magic)) {
        (MAGIC, _) => u64::from_le_bytes,
        (_, MAGIC) => u64::from_be_bytes,
        _ => return None,
    };
    let from = read(number(FROM_GUID_AT)?);
    Some(Begin {
        from: (from != 0).then(|| Guid::new(from)),
        to: Guid::new(read(number(TO_GUID_AT)?)),
        to_name: name(head.get(TO_NAME_AT..HEAD_BYTES)?),
    })
}

/// `pool/name@snapshot`, ended by a zero byte.
fn name(field: &[u8]) -> Option<SnapshotName> {
    let text = field.split(|byte| *byte == 0).next()?;
    std::str::from_utf8(text).ok()?.split_once('@')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "bs-000042-20261121T101530Z";

    fn record(from: u64, bytes: fn(u64) -> [u8; 8]) -> Vec<u8> {
        let mut record = vec![0; HEAD_BYTES];
        for (at, number) in [(MAGIC_AT, MAGIC), (TO_GUID_AT, 7), (FROM_GUID_AT, from)] {
            record[at..at + 8].copy_from_slice(&bytes(number));
        }
        let name = format!("tank/b/volume@{NAME}");
        record[TO_NAME_AT..TO_NAME_AT + name.len()].copy_from_slice(name.as_bytes());
        record
    }

    #[test]
    fn tells_where_a_stream_leads_from_and_to_in_both_byte_orders() {
        for bytes in [u64::to_le_bytes, u64::to_be_bytes] {
            let begin = |from| Some(Begin { from, to: Guid::new(7), to_name: NAME.parse().ok() });
            assert_eq!(parse(&record(0, bytes)), begin(None));
            assert_eq!(parse(&record(u64::MAX - 5, bytes)), begin(Some(Guid::new(u64::MAX - 5))));
        }
        assert_eq!(parse(&record(7, u64::to_le_bytes)[..50]), None);
        assert_eq!(parse(&[0xff; HEAD_BYTES]), None);
    }

    #[test]
    fn a_name_that_is_not_ours_is_none() {
        let mut foreign = record(7, u64::to_le_bytes);
        foreign[TO_NAME_AT..TO_NAME_AT + 12].copy_from_slice(b"tank@daily\0\0");
        assert_eq!(parse(&foreign).unwrap().to_name, None);
    }

    #[tokio::test]
    async fn loses_nothing_of_the_stream() {
        for whole in [record(7, u64::to_le_bytes), vec![1, 2, 3], Vec::new()] {
            let (_, mut stream) = begin(Box::pin(Cursor::new(whole.clone()))).await.unwrap();
            let mut again = Vec::new();
            stream.read_to_end(&mut again).await.unwrap();
            assert_eq!(again, whole);
        }
    }
}
