//! How a ZFS stream is compressed: in delta files, and on the wire without one.

use super::Encoding;
use async_compression::Level;
use async_compression::tokio::bufread::{ZstdDecoder, ZstdEncoder};
use bootstash_zfs::ByteStream;
use tokio::io::{AsyncRead, BufReader};

const BUFFER_BYTES: usize = 256 * 1024;
/// zstd's own default: 3. Higher levels cost more time than the smaller delta saves on a LAN.
const LEVEL: Level = Level::Default;

impl Encoding {
    /// The stream, encoded.
    pub fn encode(self, stream: impl AsyncRead + Send + 'static) -> ByteStream {
        let buffered = BufReader::with_capacity(BUFFER_BYTES, stream);
        match self {
            Self::Zstd => Box::pin(ZstdEncoder::with_quality(buffered, LEVEL)),
        }
    }

    /// The stream that was encoded; one that ends early is an error.
    pub fn decode(self, encoded: impl AsyncRead + Send + 'static) -> ByteStream {
        let buffered = BufReader::with_capacity(BUFFER_BYTES, encoded);
        match self {
            Self::Zstd => Box::pin(ZstdDecoder::new(buffered)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn what_ends_early_is_no_whole_stream() {
        let mut encoded = Vec::new();
        Encoding::Zstd.encode(Cursor::new(vec![7; 100_000])).read_to_end(&mut encoded).await.unwrap();
        let mut whole = Vec::new();
        Encoding::Zstd.decode(Cursor::new(encoded.clone())).read_to_end(&mut whole).await.unwrap();
        assert_eq!(whole, vec![7; 100_000]);
        for length in [1, encoded.len() / 2, encoded.len() - 1] {
            let cut = Cursor::new(encoded[..length].to_vec());
            Encoding::Zstd.decode(cut).read_to_end(&mut Vec::new()).await.unwrap_err();
        }
    }
}
