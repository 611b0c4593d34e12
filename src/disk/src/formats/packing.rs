//! Files that are no disk images but are offered as such: archives, compressed images, CD images. Told by their bytes,
//! never by their names, with what to do about them. Pure.

use std::fmt;
use std::path::Path;

/// What a file is, and how to get at the disk in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packing(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// What it is, and what to do; `{}` stands for the file.
    Known(&'static str, &'static str),
    /// A tar archive, with the disk image that is in it, as far as its beginning tells.
    Tar(Option<String>),
}

/// Offset and bytes, what that is, and what to do.
type Known = (usize, &'static [u8], &'static str, &'static str);

const KNOWN: [Known; 21] = [
    (0, b"\xfd7zXZ\0", "compressed by xz", "unpack it: xz -dc {} > disk.img"),
    (0, b"\x1f\x8b\x08", "compressed by gzip", "unpack it: gzip -dc {} > disk.img"),
    (0, b"\x28\xb5\x2f\xfd", "compressed by zstd", "unpack it: zstd -dc {} > disk.img"),
    (0, b"\x04\x22\x4d\x18", "compressed by lz4", "unpack it: lz4 -dc {} > disk.img"),
    (0, b"LZIP\x01", "compressed by lzip", "unpack it: lzip -dc {} > disk.img"),
    (0, b"\x89LZO\0", "compressed by lzop", "unpack it: lzop -dc {} > disk.img"),
    (0, b"PK\x03\x04", "a zip archive", "unpack it: unzip {}"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it: 7z x {}"),
    (0, b"Rar!\x1a\x07", "a rar archive", "unpack it: unrar x {}"),
    (0, b"070701", "a cpio archive", "unpack it: cpio -idF {}"),
    (0, b"VMA\0", "a backup of Proxmox VE", "take the disk out of it: vma extract {} DIRECTORY"),
    (0, b"\x3a\xff\x26\xed", "a sparse image of Android", "write it out: simg2img {} disk.img"),
    (0, b"hsqs", "a squashfs file system", "register the disk that boots with it"),
    (0, b"MSWIM\0\0\0", "a Windows image (WIM)", "install it into a disk, and register that"),
    (32769, b"CD001", "a CD or DVD image (ISO 9660)", INSTALL),
    (32769, b"BEA01", "a DVD image (UDF)", INSTALL),
    (0, b"version https://git-lfs", "a pointer of Git LFS", "fetch the file itself: git lfs pull"),
    (0, b"<!DOCTYPE", "a web page", DOWNLOAD),
    (0, b"<!doctype", "a web page", DOWNLOAD),
    (0, b"<html", "a web page", DOWNLOAD),
    (0, b"<?xml", "an XML file", "give the disk image that belongs to it"),
];
const INSTALL: &str = "install from it into a disk, and register that disk's image";
const DOWNLOAD: &str = "its download went wrong: look into it, and download the image again";
const BZIP2: Kind = Kind::Known("compressed by bzip2", "unpack it: bzip2 -dc {} > disk.img");

const TAR_BLOCK_BYTES: usize = 512;
/// In an archive of a machine's disks, the disk comes within the first files.
const TAR_FILES_MAX: usize = 16;
const DISK_SUFFIXES: [&str; 8] = [".vmdk", ".vhd", ".vhdx", ".vdi", ".qcow2", ".img", ".raw", ".ova"];

impl Packing {
    /// What a file that begins so is; nothing where it can be a disk.
    pub fn of(start: &[u8]) -> Option<Self> {
        let has = |at: usize, magic: &[u8]| start.get(at..).is_some_and(|rest| rest.starts_with(magic));
        let known = KNOWN.iter().find(|(at, magic, ..)| has(*at, magic));
        let known = known.map(|(_, _, what, remedy)| Kind::Known(what, remedy));
        let tar = || has(257, b"ustar").then(|| Kind::Tar(disk_in_tar(start)));
        // "BZh", a digit, and π in a block's header.
        let bzip2 = || (has(0, b"BZh") && has(4, b"1AY&SY")).then_some(BZIP2);
        known.or_else(bzip2).or_else(tar).map(Self)
    }

    /// What to do with the file at `path`, as an order.
    pub fn remedy(&self, path: &Path) -> String {
        let path = path.display().to_string();
        match &self.0 {
            Kind::Known(_, remedy) => remedy.replace("{}", &path),
            Kind::Tar(None) => format!("unpack it: tar xf {path}"),
            Kind::Tar(Some(disk)) => format!("unpack it, and register {disk}: tar xf {path} {disk}"),
        }
    }
}

/// "… is {this}".
impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Known(what, _) => f.write_str(what),
            Kind::Tar(None) => f.write_str("a tar archive"),
            Kind::Tar(Some(disk)) => {
                write!(f, "a tar archive, as .ova files are, with the disk image {disk}")
            }
        }
    }
}

/// The first file of a tar archive whose name is that of a disk image; as far as `start` goes.
fn disk_in_tar(start: &[u8]) -> Option<String> {
    let mut at = 0_usize;
    for _ in 0..TAR_FILES_MAX {
        let header = start.get(at..at.checked_add(TAR_BLOCK_BYTES)?)?;
        let name = plain_name(header);
        if let Some(name) = name.filter(|name| DISK_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))) {
            return Some(name);
        }
        let blocks = octal(&header[124..136])?.div_ceil(TAR_BLOCK_BYTES);
        at = blocks.checked_add(1)?.checked_mul(TAR_BLOCK_BYTES)?.checked_add(at)?;
    }
    None
}

/// A name that can be put into a command as it is; whoever made the archive chose it.
fn plain_name(header: &[u8]) -> Option<String> {
    let field = &header[..100];
    let name = std::str::from_utf8(field.split(|&byte| byte == 0).next()?).ok()?;
    let plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-' | '/' | '+');
    (!name.starts_with(['-', '/']) && name.chars().all(plain)).then(|| name.to_owned())
}

fn octal(field: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    usize::from_str_radix(digits, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn remedy(packing: Option<Packing>) -> String {
        packing.unwrap().remedy(Path::new("/srv/a.img"))
    }

    /// A tar archive of files with these names and sizes.
    fn tar(files: &[(&str, usize)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, size) in files {
            let mut header = vec![0; 512];
            header[..name.len()].copy_from_slice(name.as_bytes());
            header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
            header[257..262].copy_from_slice(b"ustar");
            bytes.extend(header);
            bytes.resize(bytes.len() + size.next_multiple_of(512), b'x');
        }
        bytes
    }

    #[test]
    fn each_is_told_by_its_bytes_and_says_what_to_do() {
        for (at, magic, what, _) in KNOWN {
            let file = [vec![0; at], magic.to_vec(), vec![0; 600]].concat();
            let packing = Packing::of(&file).unwrap();
            assert_eq!(packing.to_string(), what);
            assert!(!remedy(Some(packing)).contains("{}"));
        }
        let bzip2 = Packing::of(b"BZh91AY&SY....");
        assert_eq!(bzip2.clone().unwrap().to_string(), "compressed by bzip2");
        assert_eq!(remedy(bzip2), "unpack it: bzip2 -dc /srv/a.img > disk.img");
        assert_eq!(remedy(Packing::of(b"\xfd7zXZ\0...")), "unpack it: xz -dc /srv/a.img > disk.img");
    }

    #[test]
    fn the_disk_in_an_archive_is_named() {
        let ova = Packing::of(&tar(&[("vm.ovf", 9000), ("vm.mf", 3), ("vm-disk1.vmdk", 70_000)]));
        assert_eq!(remedy(ova), "unpack it, and register vm-disk1.vmdk: tar xf /srv/a.img vm-disk1.vmdk");
        assert!(remedy(Packing::of(&tar(&[("azure.vhd", 100)]))).ends_with("tar xf /srv/a.img azure.vhd"));
        assert_eq!(
            remedy(Packing::of(&tar(&[("disk.raw", 100)]))),
            "unpack it, and register disk.raw: tar xf /srv/a.img disk.raw"
        );
    }

    #[test]
    fn a_name_that_would_be_more_than_a_name_in_a_command_is_not_shown() {
        for name in ["a.vmdk; rm -rf x.vmdk", "$(x).vmdk", "--to-command=x.vmdk", "/etc/x.vmdk", "a b.vmdk"] {
            assert_eq!(remedy(Packing::of(&tar(&[(name, 1)]))), "unpack it: tar xf /srv/a.img", "{name}");
        }
    }

    #[test]
    fn a_disk_is_none_of_these() {
        let mut disk = vec![0; 64 << 10];
        disk[..3].copy_from_slice(&[0xeb, 0x63, 0x90]);
        disk[510..520].copy_from_slice(b"\x55\xaaEFI PART");
        for start in [&disk[..], b"", b"QFI\xfb\0\0\0\x03", b"BZh9 and so on", b"KDMV"] {
            assert_eq!(Packing::of(start), None);
        }
    }

    proptest! {
        #[test]
        fn no_archive_leads_out_of_its_beginning(mut start in prop::collection::vec(any::<u8>(), 0..2048), size in "[0-7]{11}") {
            if start.len() >= 512 {
                start[257..262].copy_from_slice(b"ustar");
                start[124..135].copy_from_slice(size.as_bytes());
            }
            drop(Packing::of(&start));
        }
    }
}
