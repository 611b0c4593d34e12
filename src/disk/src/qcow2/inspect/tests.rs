//! Each reason to refuse, and that nothing else is one.

use super::*;
use crate::qcow2::header::parse;
use crate::qcow2::hostile::Hostile;
use proptest::prelude::*;

fn judged(image: &Hostile) -> Result<(), Refusal> {
    let bytes = image.bytes();
    inspect_header(&parse(&bytes).unwrap(), &bytes, bytes.len() as u64)
}

fn violation(image: &Hostile) -> FormatViolation {
    match judged(image) {
        Err(Refusal::Malformed(violation)) => violation,
        other => panic!("{other:?}"),
    }
}

fn plain() -> Hostile {
    Hostile::default()
}

#[test]
fn a_sound_image_passes_with_any_extension_that_does_no_harm() {
    assert_eq!(judged(&plain()), Ok(()));
    assert_eq!(judged(&plain().put32(4, 2)), Ok(()));
    // The name that a flattened image has lost, a feature table, bitmaps, one from the future.
    for kind in [0xe279_2aca, 0x6803_f857, 0x2385_2875, 0x1234_5678] {
        assert_eq!(judged(&plain().extension(kind, b"raw")), Ok(()), "{kind:x}");
    }
}

#[test]
fn what_leads_elsewhere_is_refused_by_any_mark() {
    let data_file = Err(Refusal::DataFile);
    assert_eq!(judged(&plain().data_file("/etc/passwd")), data_file);
    assert_eq!(judged(&plain().put64(72, DATA_FILE)), data_file, "the bit alone");
    assert_eq!(judged(&plain().extension(0x4441_5441, b"x")), data_file, "the name alone");
    assert_eq!(judged(&plain().put64(88, 2)), data_file, "the raw bit alone");
    assert_eq!(judged(&plain().put32(4, 2).put(72, &[0; 40]).put32(72, 0x4441_5441)), data_file, "version 2");
    assert_eq!(judged(&plain().backing("json:{}")), Err(Refusal::Backing));
    assert_eq!(judged(&plain().put64(8, 1 << 60)), Err(Refusal::Backing));
}

#[test]
fn a_mark_behind_a_name_or_an_end_that_is_missing_is_not_passed_over() {
    let late = plain().extension(7, &[0; 60_000]).extension(0x4441_5441, b"/x");
    assert_eq!(judged(&late), Err(Refusal::DataFile));
    assert_eq!(violation(&plain().extension(7, b"").put32(116, 70_000)), FormatViolation::Extensions);
    assert_eq!(violation(&plain().extension(7, b"").put32(116, u32::MAX)), FormatViolation::Extensions);
}

#[test]
fn encryption_is_refused_by_any_mark() {
    assert_eq!(judged(&plain().put32(32, 1)), Err(Refusal::Encrypted));
    assert_eq!(judged(&plain().put32(32, 2)), Err(Refusal::Encrypted));
    assert_eq!(judged(&plain().extension(0x0537_be77, &[0; 16])), Err(Refusal::Encrypted));
}

#[test]
fn each_incompatible_feature_is_judged() {
    for bit in 0..64 {
        let expected = match bit {
            0 => Err(Refusal::Unclean),
            1 => Err(Refusal::MarkedCorrupt),
            2 => Err(Refusal::DataFile),
            3 => Err(Refusal::Feature(Feature::Compression(0))),
            4 => Ok(()),
            _ => Err(Refusal::Feature(Feature::Bit(bit))),
        };
        assert_eq!(judged(&plain().put64(72, 1 << bit)), expected, "{bit}");
    }
    let zstd = plain().put64(72, 8).put(104, &[1]);
    assert_eq!(judged(&zstd), Ok(()));
    assert_eq!(judged(&zstd.put64(72, 0)), Err(Refusal::Feature(Feature::Compression(1))), "QEMU wants both");
    let other = plain().put64(72, 8).put(104, &[2]);
    assert_eq!(judged(&other), Err(Refusal::Feature(Feature::Compression(2))));
    for version in [0, 1, 4, u32::MAX] {
        assert_eq!(judged(&plain().put32(4, version)), Err(Refusal::Feature(Feature::Version(version))));
    }
}

#[test]
fn absurd_measures_are_refused() {
    for bits in [0, 8, 22, 63, 64, u32::MAX] {
        assert_eq!(violation(&plain().put32(20, bits)), FormatViolation::ClusterBits(bits));
    }
    for bytes in [0, 72, 96, 105, 65_536, u32::MAX] {
        assert_eq!(violation(&plain().put32(100, bytes)), FormatViolation::HeaderBytes(bytes));
    }
    for size in [0, 511, (64 << 40) + 1, u64::MAX] {
        assert_eq!(judged(&plain().put64(24, size)), Err(Refusal::Size), "{size}");
    }
    assert_eq!(violation(&plain().put64(24, 1000)), FormatViolation::BrokenSector(1000));
    for entries in [0, 4099, 4 << 20, u32::MAX] {
        assert_eq!(violation(&plain().put32(36, entries)), FormatViolation::Level1 { entries, needed: 1 });
    }
    assert_eq!(violation(&plain().put64(24, 1 << 30)), FormatViolation::Level1 { entries: 1, needed: 2 });
    // As many as the largest disk with the smallest clusters needs.
    let most = plain().put32(20, 9).put64(24, 64 << 40).put32(36, 1 << 31);
    assert_eq!(violation(&most), FormatViolation::Level1 { entries: 1 << 31, needed: 1 << 31 });
    for clusters in [0, 129, u32::MAX] {
        assert_eq!(violation(&plain().put32(56, clusters)), FormatViolation::Refcounts(clusters));
    }
    assert_eq!(violation(&plain().put32(96, 7)), FormatViolation::RefcountOrder(7));
    assert_eq!(violation(&plain().put32(60, 65_537)), FormatViolation::Snapshots(65_537));
}

#[test]
fn tables_lie_where_tables_can() {
    for at in [0, 8, 0x1_0000, 0x3_0200] {
        let violation = violation(&plain().put64(40, at));
        assert!(matches!(violation, FormatViolation::Misplaced(_)), "{at:x}: {violation:?}");
    }
    for at in [0, 0x3_0000, 0x1_8000] {
        assert_eq!(violation(&plain().put64(48, at)), FormatViolation::Misplaced("refcount table"), "{at:x}");
    }
    assert_eq!(violation(&plain().put32(60, 1)), FormatViolation::Misplaced("snapshot table"));
    for at in [0x4_0000, 1 << 40, u64::MAX << 16] {
        assert_eq!(judged(&plain().put64(40, at)), Err(Refusal::Truncated), "{at:x}");
        assert_eq!(judged(&plain().put64(48, at)), Err(Refusal::Truncated), "{at:x}");
    }
    assert_eq!(judged(&plain().cut(0x3_0004)), Err(Refusal::Truncated));
}

#[test]
fn a_file_holds_no_more_than_its_size() {
    let holds = |plain_bytes, compressed_bytes| {
        check_allocation(AllocatedBytes { plain_bytes, compressed_bytes }, 0, 1 << 20)
    };
    assert_eq!(holds(1 << 20, 1 << 30), Ok(()));
    assert!(holds((1 << 20) + 65_536, 0).is_err() && holds(0, 1 << 31).is_err());
}

#[test]
fn reasons_are_said_in_words() {
    assert_eq!(Feature::Compression(2).to_string(), "compression of type 2");
    let violation = FormatViolation::Level1 { entries: 9, needed: 1 };
    assert_eq!(violation.to_string(), "a first-level table of 9 entries where its disk needs 1");
}

proptest! {
    /// Whatever stands in a header, judging ends, and what passes has tables within the file and no more of
    /// them than its disk can need.
    #[test]
    fn no_header_leads_astray(changes in prop::collection::vec((0_usize..160, any::<u8>()), 0..24), cut in 0_usize..0x4_0000) {
        let mut bytes = Hostile::default().bytes();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        bytes.truncate(0x4_0000 - cut % 0x100);
        if let Some(header) = parse(&bytes)
            && inspect_header(&header, &bytes, bytes.len() as u64).is_ok()
        {
            prop_assert!(header.tables_end() <= bytes.len() as u64);
            prop_assert!(header.level1_bytes() <= MAX_LEVEL1_BYTES);
            prop_assert!(header.backing.is_none() && header.incompatible == 0 && header.crypt_method == 0);
        }
    }
}
