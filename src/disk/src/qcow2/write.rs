//! Writing a laid-out cache.

use super::{CLUSTER_BYTES, Layout};
use std::io::{self, Write};

/// Writes the file that `layout` describes to `out`, asking `read` for the data: a buffer to fill
/// and its offset on the disk. Blocks.
///
/// # Errors
/// What reading or writing met.
pub fn write(
    layout: &Layout,
    mut read: impl FnMut(&mut [u8], u64) -> io::Result<()>,
    out: &mut impl Write,
) -> io::Result<()> {
    for cluster in layout.metadata() {
        out.write_all(&cluster)?;
    }
    let mut buffer = vec![0; CLUSTER_BYTES as usize];
    for &cluster in layout.data() {
        let offset = cluster * CLUSTER_BYTES;
        // The last cluster of a disk may be a part of one; the rest of it is zero.
        let held = CLUSTER_BYTES.min(layout.virtual_size_bytes() - offset) as usize;
        read(&mut buffer[..held], offset)?;
        buffer[held..].fill(0);
        out.write_all(&buffer)?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ImageFormat;
    use crate::qcow2::ClusterRuns;
    use std::path::Path;

    #[test]
    fn data_follows_in_guest_order_and_a_short_last_cluster_is_padded() {
        let size = 2 * CLUSTER_BYTES + 512;
        let layout =
            Layout::new(size, vec![2, 0], ClusterRuns::default(), Path::new("/b"), ImageFormat::Raw).unwrap();
        let mut file = Vec::new();
        let read = |buffer: &mut [u8], offset: u64| {
            assert!(offset + buffer.len() as u64 <= size, "reads past the end");
            buffer.fill(u8::try_from(offset / CLUSTER_BYTES).unwrap() + 1);
            Ok(())
        };
        write(&layout, read, &mut file).unwrap();
        assert_eq!(file.len() as u64, layout.file_bytes());
        let data = &file[file.len() - 2 * CLUSTER_BYTES as usize..];
        let (first, last) = data.split_at(CLUSTER_BYTES as usize);
        assert!(first.iter().all(|&byte| byte == 1));
        assert!(last[..512].iter().all(|&byte| byte == 3) && last[512..].iter().all(|&byte| byte == 0));
    }
}
