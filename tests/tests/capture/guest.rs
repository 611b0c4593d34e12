//! A guest of one sector, and what is needed to boot it.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const CLUSTER: u64 = 64 << 10;
const SECTORS_OF_CLUSTER: u64 = CLUSTER / 512;
pub(crate) const DISK_BYTES: u64 = 32 << 20;

/// A disk whose boot sector reads one sector of each of `reads`, writes 4 KiB into cluster `writes`,
/// and prints `says` on the first serial port. Clusters 0 to 63 hold data, the others zeros.
pub(crate) struct Guest<'a> {
    pub(crate) reads: &'a [u64],
    pub(crate) writes: u64,
    pub(crate) says: &'a str,
}

impl Guest<'_> {
    /// Writes the raw disk.
    pub(crate) fn write(&self, path: &Path) {
        let disk = std::fs::File::create_new(path).unwrap();
        disk.set_len(DISK_BYTES).unwrap();
        for cluster in 0..64 {
            let byte = u8::try_from(cluster + 1).unwrap();
            disk.write_all_at(&[byte; CLUSTER as usize], cluster * CLUSTER).unwrap();
        }
        disk.write_all_at(&self.boot_sector(), 0).unwrap();
    }

    /// The clusters the guest reads, its boot sector's included.
    pub(crate) fn expected(&self) -> BTreeSet<u64> {
        self.reads.iter().copied().chain([0]).collect()
    }

    fn boot_sector(&self) -> Vec<u8> {
        const ORIGIN: u16 = 0x7c00;
        const CODE_BYTES: u16 = 0x3b;
        let packets = ORIGIN + CODE_BYTES;
        let reads_end = packets + 16 * u16::try_from(self.reads.len()).unwrap();
        let [p, e, m] = [packets, reads_end, reads_end + 16].map(u16::to_le_bytes);
        #[rustfmt::skip]
        let mut sector = vec![
            0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, // xor ax, ax; mov ds, ax; mov ss, ax
            0xbc, 0x00, 0x7c,                   // mov sp, 0x7c00
            0xbe, p[0], p[1],                   // mov si, packets
            0xb4, 0x42, 0xcd, 0x13,             // next: extended read
            0x83, 0xc6, 0x10,                   // add si, 16
            0x81, 0xfe, e[0], e[1], 0x72, 0xf3, // cmp si, reads_end; jb next
            0xb8, 0x00, 0x43, 0xcd, 0x13,       // extended write
            0xbe, m[0], m[1],                   // mov si, message
            0xac, 0x84, 0xc0, 0x74, 0x12,       // print: lodsb; test al, al; jz done
            0x88, 0xc4, 0xba, 0xfd, 0x03,       // mov ah, al; mov dx, 0x3fd
            0xec, 0xa8, 0x20, 0x74, 0xfb,       // wait: in al, dx; test al, 0x20; jz wait
            0x88, 0xe0, 0xba, 0xf8, 0x03, 0xee, // mov al, ah; mov dx, 0x3f8; out dx, al
            0xeb, 0xe9,                         // jmp print
            0xf4, 0xeb, 0xfd,                   // done: hlt; jmp done
        ];
        assert_eq!(sector.len(), usize::from(CODE_BYTES));
        for cluster in self.reads {
            sector.extend(packet(1, cluster * SECTORS_OF_CLUSTER + 5));
        }
        sector.extend(packet(8, self.writes * SECTORS_OF_CLUSTER + 8));
        sector.extend_from_slice(self.says.as_bytes());
        sector.push(0);
        assert!(sector.len() <= 510, "too much for one sector");
        sector.resize(510, 0);
        sector.extend([0x55, 0xaa]);
        sector
    }
}

/// A disk address packet of the BIOS: N sectors to or from 0x8000.
fn packet(sectors: u8, first: u64) -> Vec<u8> {
    let mut packet = vec![16, 0, sectors, 0, 0x00, 0x80, 0, 0];
    packet.extend(first.to_le_bytes());
    packet
}

/// Runs a QEMU tool in `dir`; says what it printed.
pub(crate) fn tool(program: &str, args: &[&str], dir: &Path) -> String {
    let output = Command::new(program).args(args).current_dir(dir).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {args:?}: {out} {err}");
    out.into_owned()
}

/// What a cache holds of a boot that read these clusters: what lies between two of them, where that is at most
/// 256 KiB, may be what the next boot reads.
pub(crate) fn with_small_gaps(read: &BTreeSet<u64>) -> BTreeSet<u64> {
    let pairs = read.iter().zip(read.iter().skip(1)).filter(|(first, second)| *second - *first <= 5);
    read.iter().copied().chain(pairs.flat_map(|(first, second)| *first..*second)).collect()
}

/// The clusters that a qcow2 file holds itself: those with data, and those marked as zero.
pub(crate) fn held(cache: &Path) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let map = tool("qemu-img", &["map", "--output=json", cache.to_str().unwrap()], Path::new("/"));
    let map: serde_json::Value = serde_json::from_str(&map).unwrap();
    let (mut data, mut zeros) = (BTreeSet::new(), BTreeSet::new());
    for run in map.as_array().unwrap().iter().filter(|run| run["depth"] == 0 && run["present"] == true) {
        let (start, length) = (run["start"].as_u64().unwrap(), run["length"].as_u64().unwrap());
        let clusters = start / CLUSTER..(start + length).div_ceil(CLUSTER);
        if run["zero"] == true { zeros.extend(clusters) } else { data.extend(clusters) }
    }
    (data, zeros)
}

/// What is in a directory.
pub(crate) fn names(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}
