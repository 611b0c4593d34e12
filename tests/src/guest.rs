//! The smallest guest: a boot sector that reads some of its disk and prints a text on its serial
//! console. It boots in a second where a real one takes a minute of emulation.

use anyhow::{Context, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Where the boot firmware puts the sector.
const ORIGIN: u16 = 0x7c00;
/// Sectors of 512 bytes that one read takes: a cluster of 64 KiB.
const SECTORS_A_READ: u16 = 128;
const READ_BYTES: u64 = SECTORS_A_READ as u64 * 512;
/// Where the guest begins to read.
const FIRST_READ_BYTE: u64 = 1 << 20;
const PACKET_AT: u16 = 52;
const TEXT_AT: u16 = PACKET_AT + 16;

/// The boot sector and disk of a guest to make.
#[derive(Clone, Debug)]
pub struct TinyGuest {
    /// What it prints; `login: ` at the end of a line is the sign of a boot that is done.
    pub text: String,
    /// How many clusters of 64 KiB it reads, from 1 MiB on.
    pub clusters: u16,
    /// What its data depends on; equal seeds give equal images.
    pub seed: u64,
}

impl TinyGuest {
    /// One that boots to a login prompt.
    pub fn booting(seed: u64) -> Self {
        // Twice: the firmware's last dots can still fall into the first.
        Self { text: "\r\ntiny login: \r\n".repeat(2), clusters: 16, seed }
    }

    /// One that prints `text`, and then nothing more.
    pub fn printing(text: &str) -> Self {
        Self { text: text.to_owned(), clusters: 1, seed: 0 }
    }

    /// Writes its disk as a raw image.
    ///
    /// # Errors
    /// When the file cannot be written, or the text is too long for a sector.
    pub fn write(&self, path: &Path) -> Result<()> {
        let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
        file.write_all_at(&self.boot_sector()?, 0)?;
        let mut random = self.seed;
        for cluster in 0..u64::from(self.clusters) {
            let data: Vec<u8> = (0..READ_BYTES).map(|_| next_byte(&mut random)).collect();
            file.write_all_at(&data, FIRST_READ_BYTE + cluster * READ_BYTES)?;
        }
        // As much again that it never reads.
        file.set_len(FIRST_READ_BYTE + 2 * READ_BYTES * u64::from(self.clusters))?;
        Ok(())
    }

    fn boot_sector(&self) -> Result<[u8; 512]> {
        let mut bytes = code(self.clusters);
        bytes.extend(packet());
        bytes.extend(self.text.as_bytes());
        bytes.push(0);
        let mut sector = [0; 512];
        sector
            .get_mut(..bytes.len())
            .filter(|_| bytes.len() <= 510)
            .context("the text is too long")?
            .copy_from_slice(&bytes);
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        Ok(sector)
    }
}

/// Reads `clusters` times, each time further on, then prints the text and halts.
fn code(clusters: u16) -> Vec<u8> {
    let [packet, text] = [PACKET_AT, TEXT_AT].map(|at| (ORIGIN + at).to_le_bytes());
    let [low, high] = [PACKET_AT + 8, PACKET_AT + 10].map(|at| (ORIGIN + at).to_le_bytes());
    let (count, step) = (clusters.to_le_bytes(), SECTORS_A_READ.to_le_bytes());
    vec![
        0x31, 0xc0, // xor ax, ax
        0x8e, 0xd8, // mov ds, ax
        0x8e, 0xc0, // mov es, ax
        0x8e, 0xd0, // mov ss, ax
        0xbc, 0x00, 0x7c, // mov sp, 0x7c00
        0xbb, count[0], count[1], // mov bx, clusters
        0xbe, packet[0], packet[1], // read: mov si, packet
        0xb4, 0x42, // mov ah, 0x42 (read by packet; dl is the drive we came from)
        0xcd, 0x13, // int 0x13
        0x81, 0x06, low[0], low[1], step[0], step[1], // add word [packet + 8], step
        0x83, 0x16, high[0], high[1], 0x00, // adc word [packet + 10], 0
        0x4b, // dec bx
        0x75, 0xeb, // jnz read
        0xbe, text[0], text[1], // mov si, text
        0xac,    // print: lodsb
        0x84, 0xc0, // test al, al
        0x74, 0x06, // jz halt
        0xba, 0xf8, 0x03, // mov dx, 0x3f8 (the first serial port)
        0xee, // out dx, al
        0xeb, 0xf5, // jmp print
        0xf4, // halt: hlt
        0xeb, 0xfd, // jmp halt
    ]
}

/// The firmware's disk address packet: size, count, target (0x8000, behind the sector), first sector.
fn packet() -> [u8; 16] {
    let mut packet = [0x10, 0, 0, 0, 0x00, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    packet[2..4].copy_from_slice(&SECTORS_A_READ.to_le_bytes());
    packet[8..].copy_from_slice(&(FIRST_READ_BYTE / 512).to_le_bytes());
    packet
}

/// Bytes that do not compress (Knuth's MMIX generator, upper bits).
fn next_byte(state: &mut u64) -> u8 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 56) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_ends_where_the_packet_begins() {
        assert_eq!(code(1).len(), usize::from(PACKET_AT));
    }

    #[test]
    fn is_a_boot_sector_with_its_text() {
        let sector = TinyGuest::booting(1).boot_sector().unwrap();
        assert_eq!(sector[510..], [0x55, 0xaa]);
        assert!(sector.windows(12).any(|window| window == b"tiny login: "));
        assert!(TinyGuest::printing(&"x".repeat(600)).boot_sector().is_err());
    }
}
