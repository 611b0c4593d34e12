use super::*;
use proptest::prelude::*;
use std::cell::Cell;

const ESP: &str = "28732ac11ff8d211ba4b00a0c93ec93b";
const BIOS_BOOT: &str = "4861682149646f6e744e656564454649";
const LINUX: &str = "af3dc60f838472478e793d69d8477de4";
const SECTORS: usize = 200;

/// A disk of 200 sectors.
struct Disk(Vec<u8>);

impl Disk {
    fn new() -> Self {
        Self(vec![0; SECTORS * 512])
    }

    fn with(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    fn boot_code(self, code: &[u8]) -> Self {
        self.with(0, code).with(510, &[0x55, 0xaa])
    }

    /// A GPT whose header is in sector `header` and whose entries follow from sector `table`.
    fn gpt(self, header: usize, table: usize, types: &[&str]) -> Self {
        let mut fields = vec![0; 92];
        fields[..8].copy_from_slice(b"EFI PART");
        fields[72..80].copy_from_slice(&(table as u64).to_le_bytes());
        fields[80..84].copy_from_slice(&128_u32.to_le_bytes());
        fields[84..88].copy_from_slice(&128_u32.to_le_bytes());
        let disk = self.with(header * 512, &fields).with(446 + 4, &[0xee]).with(510, &[0x55, 0xaa]);
        types
            .iter()
            .enumerate()
            .fold(disk, |disk, (entry, kind)| disk.with(table * 512 + entry * 128, &guid(kind)))
    }

    fn mbr_partition(self, entry: usize, active: u8, kind: u8) -> Self {
        self.with(446 + entry * 16, &[active]).with(446 + entry * 16 + 4, &[kind]).with(510, &[0x55, 0xaa])
    }

    fn recognised(&self) -> Recognised {
        let read = |buffer: &mut [u8], offset: u64| {
            let from = usize::try_from(offset).unwrap();
            buffer.copy_from_slice(&self.0[from..from + buffer.len()]);
            Ok(())
        };
        recognise(self.0.len() as u64, read).unwrap()
    }

    fn firmware(&self) -> Firmware {
        self.recognised().firmware
    }
}

fn guid(hex: &str) -> Vec<u8> {
    (0..16).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

#[test]
fn a_disk_with_an_esp_and_no_boot_code_is_for_uefi() {
    assert_eq!(Disk::new().gpt(1, 2, &[LINUX, ESP]).firmware(), Firmware::Uefi);
    assert_eq!(Disk::new().mbr_partition(1, 0, 0xef).firmware(), Firmware::Uefi, "without a GPT");
}

#[test]
fn what_boots_by_both_boots_by_bios_and_says_so() {
    let both = Disk::new().gpt(1, 2, &[LINUX, BIOS_BOOT, ESP]).boot_code(&[0xeb, 0x63]);
    assert_eq!(both.firmware(), Firmware::Bios);
    assert!(both.recognised().why.contains("BIOS as by UEFI"), "{:?}", both.recognised());
}

#[test]
fn boot_code_that_finds_nothing_to_load_is_no_way_for_a_bios() {
    let code = |disk: Disk| disk.boot_code(&[0x33, 0xc0]);
    assert_eq!(code(Disk::new().gpt(1, 2, &[ESP, LINUX])).firmware(), Firmware::Uefi);
    // Yet it is where it can go on: syslinux by an attribute, a hybrid MBR by its active partition, GRUB by itself.
    let attribute = 2 * 512 + 128 + 48;
    assert_eq!(code(Disk::new().gpt(1, 2, &[ESP, LINUX]).with(attribute, &[4])).firmware(), Firmware::Bios);
    assert_eq!(
        code(Disk::new().gpt(1, 2, &[ESP, LINUX]).mbr_partition(1, 0x80, 0x83)).firmware(),
        Firmware::Bios
    );
    assert_eq!(code(Disk::new().gpt(1, 2, &[ESP, LINUX]).with(0x180, b"GRUB ")).firmware(), Firmware::Bios);
}

#[test]
fn without_an_esp_it_is_bios() {
    assert_eq!(Disk::new().gpt(1, 2, &[LINUX, BIOS_BOOT]).boot_code(&[1]).firmware(), Firmware::Bios);
    assert_eq!(Disk::new().mbr_partition(0, 0x80, 0x83).boot_code(&[1]).firmware(), Firmware::Bios);
    assert_eq!(Disk::new().firmware(), Firmware::Bios);
    assert_eq!(recognise(0, |_, _| panic!("read of nothing")).unwrap().firmware, Firmware::Bios);
}

#[test]
fn the_copy_at_the_disks_end_counts_where_the_first_is_gone() {
    assert_eq!(Disk::new().gpt(SECTORS - 1, SECTORS - 33, &[LINUX, ESP]).firmware(), Firmware::Uefi);
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let broken = |_: &mut [u8], _| Err(io::Error::other("gone"));
    assert_eq!(recognise(1 << 20, broken).unwrap_err().to_string(), "gone");
}

#[test]
fn old_manifests_are_of_bios() {
    assert_eq!(Firmware::default(), Firmware::Bios);
    assert_eq!(serde_json::to_string(&Firmware::Uefi).unwrap(), "\"uefi\"");
}

proptest! {
    #[test]
    fn no_table_leads_out_of_the_disk_or_to_endless_reading(
        disk_bytes in prop_oneof![0_u64..4096, any::<u64>()],
        mut header in prop::collection::vec(any::<u8>(), 512),
        signed in any::<bool>(),
        entry_bytes in prop_oneof![Just(128_u32), any::<u32>()],
        lba in prop_oneof![0_u64..16, any::<u64>()],
    ) {
        if signed {
            header[..8].copy_from_slice(b"EFI PART");
            header[72..80].copy_from_slice(&lba.to_le_bytes());
            header[84..88].copy_from_slice(&entry_bytes.to_le_bytes());
        }
        let (total, outside) = (Cell::new(0), Cell::new(false));
        recognise(disk_bytes, |buffer: &mut [u8], offset| {
            total.set(total.get() + buffer.len());
            outside.set(outside.get() || offset.checked_add(buffer.len() as u64).is_none_or(|end| end > disk_bytes));
            buffer.iter_mut().zip(header.iter().cycle()).for_each(|(to, from)| *to = *from);
            Ok(())
        }).unwrap();
        prop_assert!(!outside.get(), "read past the end of the disk");
        prop_assert!(total.get() <= (64 << 10) + 3 * 512, "{} bytes read", total.get());
    }
}
