//! The header block: bytes in, bytes out.

use bootstash_base::names::{Guid, SnapshotName};
use serde::{Deserialize, Serialize};

/// Size of the header block, in bytes.
pub const HEADER_BYTES: usize = 4096;

const MAGIC: &[u8; 8] = b"BSDELTA\n";
const JSON_AT: usize = 12;
const DIGEST_AT: usize = HEADER_BYTES - blake3::OUT_LEN;

/// One end of a delta.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotId {
    /// For people.
    pub name: SnapshotName,
    /// For matching.
    pub guid: Guid,
}

/// How the payload carries the ZFS stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// One zstd frame (RFC 8878).
    Zstd,
}

/// What a delta file says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Version of this form: 1.
    pub format: u32,
    /// The snapshot it starts from; none for a full stream.
    pub from: Option<SnapshotId>,
    /// The snapshot it leads to.
    pub to: SnapshotId,
    /// How the payload is encoded.
    pub encoding: Encoding,
    /// Size of the ZFS stream, in bytes.
    pub stream_bytes: u64,
    /// Size of the payload, in bytes.
    pub payload_bytes: u64,
    /// BLAKE3 of the payload, in hex.
    pub payload_digest: String,
}

impl Header {
    /// The version this code writes.
    pub const FORMAT: u32 = 1;

    /// The header block.
    ///
    /// # Errors
    /// When the header does not fit the block, which no valid name can bring about.
    pub fn encode(&self) -> Result<Vec<u8>, String> {
        let json = serde_json::to_vec(self).map_err(|error| error.to_string())?;
        let length = u32::try_from(json.len()).map_err(|error| error.to_string())?;
        if JSON_AT + json.len() > DIGEST_AT {
            return Err(format!("its header of {length} bytes is too long"));
        }
        let mut block = Vec::with_capacity(HEADER_BYTES);
        block.extend_from_slice(MAGIC);
        block.extend_from_slice(&length.to_le_bytes());
        block.extend_from_slice(&json);
        block.resize(DIGEST_AT, 0);
        let digest = blake3::hash(&block);
        block.extend_from_slice(digest.as_bytes());
        Ok(block)
    }

    /// The header in a block.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn decode(block: &[u8]) -> Result<Self, String> {
        if block.len() != HEADER_BYTES || !block.starts_with(MAGIC) {
            return Err("it does not begin as one".to_owned());
        }
        if blake3::hash(&block[..DIGEST_AT]).as_bytes() != &block[DIGEST_AT..] {
            return Err("its header is damaged".to_owned());
        }
        let length = u32::from_le_bytes([block[8], block[9], block[10], block[11]]) as usize;
        let json = block[JSON_AT..DIGEST_AT].get(..length).ok_or("its header length is absurd")?;
        let header: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if header.format != Self::FORMAT {
            return Err(format!("it has format {}, this version reads {}", header.format, Self::FORMAT));
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let id = |number, guid| SnapshotId {
            name: SnapshotName::new(number, chrono::DateTime::UNIX_EPOCH),
            guid: Guid::new(guid),
        };
        Header {
            format: 1,
            from: Some(id(1, u64::MAX)),
            to: id(2, 7),
            encoding: Encoding::Zstd,
            stream_bytes: 10,
            payload_bytes: 5,
            payload_digest: "00".to_owned(),
        }
    }

    #[test]
    fn reads_back_what_it_writes() {
        let block = header().encode().unwrap();
        assert_eq!(block.len(), HEADER_BYTES);
        assert_eq!(Header::decode(&block).unwrap(), header());
    }

    #[test]
    fn any_flipped_byte_is_seen() {
        let block = header().encode().unwrap();
        for at in 0..HEADER_BYTES {
            let mut damaged = block.clone();
            damaged[at] ^= 0x20;
            assert!(Header::decode(&damaged).is_err(), "byte {at}");
        }
    }
}
