//! A small read-only volume of a few files, in the format of CD-ROMs (ECMA-119), as QEMU's and clouds' own tools make
//! them for a guest's metadata. Pure.
//!
//! Names are without Rock Ridge and Joliet: in capitals, which systems show in small letters.

const SECTOR_BYTES: usize = 2048;
/// Sectors before them are for boot code.
const VOLUME_AT: usize = 16;
/// Behind the volume's descriptor comes the end of descriptors.
const PATHS_AT: [usize; 2] = [18, 19];
const DIRECTORY_AT: usize = 20;
const FILES_AT: usize = 21;

const VOLUME: u8 = 1;
const END: u8 = 255;
const IS_DIRECTORY: u8 = 2;
/// A directory's own name, and its parent's.
const ITSELF: &[u8] = &[0];
const PARENT: &[u8] = &[1];
const PATHS_BYTES: usize = 10;
/// No date: 16 digits, and the difference to Greenwich.
const NO_DATE: &[u8; 17] = b"0000000000000000\0";

/// A volume labelled `label` (of at most 32 bytes) with these files in its root: names of at most 27 bytes, and as many
/// as one sector names.
pub fn volume(label: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut files = files.to_vec();
    files.sort_unstable();
    let mut next = FILES_AT;
    let mut directory = [record(ITSELF, DIRECTORY_AT, SECTOR_BYTES, IS_DIRECTORY)].concat();
    directory.extend(record(PARENT, DIRECTORY_AT, SECTOR_BYTES, IS_DIRECTORY));
    let mut contents = Vec::new();
    for (name, content) in files {
        let on_disk = format!("{}.;1", name.to_ascii_uppercase());
        directory.extend(record(on_disk.as_bytes(), next, content.len(), 0));
        contents.extend(whole_sectors(content));
        next += content.len().div_ceil(SECTOR_BYTES);
    }
    let mut bytes = vec![0; VOLUME_AT * SECTOR_BYTES];
    bytes.extend(whole_sectors(&descriptor(label, next)));
    bytes.extend(whole_sectors(&[&[END], &b"CD001\x01"[..]].concat()));
    bytes.extend(whole_sectors(&paths(u32::to_le_bytes, u16::to_le_bytes)));
    bytes.extend(whole_sectors(&paths(u32::to_be_bytes, u16::to_be_bytes)));
    bytes.extend(whole_sectors(&directory));
    bytes.extend(contents);
    bytes
}

fn descriptor(label: &str, sectors: usize) -> Vec<u8> {
    let mut bytes = vec![0; SECTOR_BYTES];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, &[VOLUME]);
    put(1, b"CD001\x01");
    put(8, &[b' '; 32]);
    put(40, &[b' '; 32]);
    put(40, &label.as_bytes()[..label.len().min(32)]);
    put(80, &both_u32(sectors));
    put(120, &both_u16(1));
    put(124, &both_u16(1));
    put(128, &both_u16(SECTOR_BYTES as u16));
    put(132, &both_u32(PATHS_BYTES));
    put(140, &(PATHS_AT[0] as u32).to_le_bytes());
    put(148, &(PATHS_AT[1] as u32).to_be_bytes());
    put(156, &record(ITSELF, DIRECTORY_AT, SECTOR_BYTES, IS_DIRECTORY));
    // Names of the set, of people and of files: none.
    put(190, &[b' '; 623]);
    [813, 830, 847, 864].iter().for_each(|at| put(*at, NO_DATE));
    put(881, &[1]);
    bytes
}

/// The table of directories, of which there is one.
fn paths(u32_bytes: fn(u32) -> [u8; 4], u16_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let mut bytes = vec![1, 0];
    bytes.extend(u32_bytes(DIRECTORY_AT as u32));
    bytes.extend(u16_bytes(1));
    bytes.extend([0, 0]);
    bytes
}

fn record(name: &[u8], sector: usize, bytes: usize, flags: u8) -> Vec<u8> {
    let mut record = vec![0, 0];
    record.extend(both_u32(sector));
    record.extend(both_u32(bytes));
    // The first of January 1970; then flags, and no interleaving.
    record.extend([70, 1, 1, 0, 0, 0, 0, flags, 0, 0]);
    record.extend(both_u16(1));
    record.push(name.len() as u8);
    record.extend(name);
    record.resize(record.len().next_multiple_of(2), 0);
    record[0] = record.len() as u8;
    record
}

fn both_u32(number: usize) -> [u8; 8] {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    let (mut bytes, big) = ([0; 8], number.to_be_bytes());
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    bytes[4..].copy_from_slice(&big);
    bytes
}

fn both_u16(number: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (number.to_le_bytes(), number.to_be_bytes());
    [a, b, c, d]
}

fn whole_sectors(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(SECTOR_BYTES), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn u32_at(bytes: &[u8], at: usize) -> usize {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
    }

    /// Names and contents, as a reader finds them from the descriptor on.
    fn files(volume: &[u8]) -> Vec<(String, Vec<u8>)> {
        let descriptor = &volume[16 * 2048..17 * 2048];
        assert_eq!(&descriptor[..7], b"\x01CD001\x01");
        assert_eq!(u32_at(descriptor, 80) * 2048, volume.len(), "of another size than it says");
        let root = u32_at(descriptor, 156 + 2) * 2048;
        let (mut at, mut found) = (root, Vec::new());
        while volume[at] != 0 {
            let (start, length) = (u32_at(volume, at + 2) * 2048, u32_at(volume, at + 10));
            let name = &volume[at + 33..at + 33 + usize::from(volume[at + 32])];
            if volume[at + 25] & IS_DIRECTORY == 0 {
                found.push((
                    String::from_utf8(name.to_vec()).unwrap(),
                    volume[start..start + length].to_vec(),
                ));
            }
            at += usize::from(volume[at]);
        }
        found
    }

    #[test]
    fn files_are_found_from_the_descriptor_on() {
        let long = vec![7; 3000];
        let volume = volume("cidata", &[("user-data", b"u"), ("meta-data", &long), ("empty", b"")]);
        let found = files(&volume);
        let expected = [("EMPTY.;1", vec![]), ("META-DATA.;1", long), ("USER-DATA.;1", b"u".to_vec())];
        assert_eq!(found, expected.map(|(name, content)| (name.to_owned(), content)));
        assert_eq!(&volume[16 * 2048 + 40..16 * 2048 + 72], b"cidata                          ");
    }
}
