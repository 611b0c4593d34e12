//! The small parts: layouts, announcements, code, bucket.

use super::super::fec;
use super::super::token_bucket::TokenBucket;
use super::super::*;
use super::{announce, object};
use proptest::prelude::*;
use std::time::{Duration, Instant};

#[test]
fn an_announcement_is_read_as_it_was_written_and_never_shows_its_key() {
    let announcement = announce(&object(100_000, 1), 64, 64, 16);
    let text = serde_json::to_string(&*announcement).unwrap();
    assert_eq!(serde_json::from_str::<Announcement>(&text).unwrap(), *announcement);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let key = value["key"].as_str().unwrap();
    let shown = format!("{announcement:?}");
    assert!(shown.contains("SessionKey(…)") && !shown.contains(key), "{shown}");
}

#[test]
fn an_announcement_out_of_bounds_is_refused_by_name() {
    let announcement = announce(&object(100_000, 1), 64, 64, 16);
    let good = serde_json::to_value(&*announcement).unwrap();
    let cases = [
        ("length", serde_json::json!(0)),
        ("length", serde_json::json!(u64::MAX)),
        ("length", serde_json::json!(1)),
        ("symbol_bytes", serde_json::json!(0)),
        ("symbol_bytes", serde_json::json!(65)),
        ("symbol_bytes", serde_json::json!(65_472)),
        ("source_symbols", serde_json::json!(0)),
        ("source_symbols", serde_json::json!(65_535)),
        ("repair_symbols", serde_json::json!(0)),
        ("repair_symbols", serde_json::json!(65_535)),
        ("report_millis", serde_json::json!(0)),
        ("report_millis", serde_json::json!(u64::MAX)),
        ("hashes", serde_json::json!("")),
        ("hashes", serde_json::json!("AAAA")),
        ("key", serde_json::json!("AAAA")),
        ("session", serde_json::json!("+00000000000000f")),
    ];
    for (field, value) in cases {
        let mut bad = good.clone();
        bad[field] = value.clone();
        assert!(serde_json::from_value::<Announcement>(bad).is_err(), "{field} {value}");
    }
}

#[test]
fn names_in_json_are_those_of_the_first_version() {
    let id = "00112233445566ff";
    let report = |status| {
        serde_json::json!({
            "session": id, "next_session": id, "standing": status, "beat": 7, "expected": 9, "heard": 8,
            "deficits": [{ "block": 3, "missing": 2, "repair_seen": 1 }],
        })
    };
    for (status, name) in [
        (ReceiverStatus::Listening, "listening"),
        (ReceiverStatus::AwaitingKey, "alarmed"),
        (ReceiverStatus::HeartbeatTimeout, "unheard"),
        (ReceiverStatus::KeyCompromised, "poisoned"),
        (ReceiverStatus::Done, "done"),
    ] {
        let read: Report = serde_json::from_value(report(name)).unwrap();
        assert_eq!((read.status, read.heartbeat, read.received), (status, Some(7), 8));
        assert_eq!(serde_json::to_value(&read).unwrap(), report(name));
    }
    let fetch = [Instruction::Fetch(vec![1]), Instruction::FetchAll];
    assert_eq!(serde_json::to_value(fetch).unwrap(), serde_json::json!([{ "fetch": [1] }, "fetch-all"]));
}

#[test]
fn every_bucket_holds_thirty_milliseconds_and_no_more() {
    let start = Instant::now();
    let mut bucket = TokenBucket::new(100_000.0, start);
    let later = start + Duration::from_secs(9);
    let taken = (0..).take_while(|_| bucket.take(later, 100).is_ok()).count();
    assert_eq!(taken, 30);
    let ready = bucket.take(later, 100).unwrap_err();
    assert!(ready > later && bucket.take(ready, 100).is_ok());
}

#[test]
fn the_repair_symbols_of_a_session_are_always_the_same_ones() {
    let layout = BlockLayout::new(64 * 40, 64, 64, 16).unwrap();
    let bytes = object(64 * 40, 3);
    let digest = blake3::hash(&fec::encode(&layout, 0, &bytes).unwrap()).to_hex();
    // Nodes of another version, or on another processor, must compute the same.
    assert_eq!(&digest[..16], "724ee449b6fe13e3");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn any_as_many_symbols_as_the_source_has_give_the_block_back(
        length in 1_u64..64 * 40, repair in 1_u16..40, seed in any::<u64>(),
    ) {
        let layout = BlockLayout::new(length, 64, 40, repair).unwrap();
        let source = layout.source_symbols(0);
        let mut padded = object(length as usize, seed);
        padded.resize(usize::from(source) * 64, 0);
        let symbols = fec::encode(&layout, 0, &padded).unwrap();
        prop_assert_eq!(symbols.len(), usize::from(repair) * 64);
        let mut rng = super::net::Rng::new(seed);
        let lost: Vec<u16> = (0..source).filter(|_| rng.chance(0.3)).take(repair.into()).collect();
        let mut kept: Vec<(u16, Vec<u8>)> = (0..).zip(symbols.chunks(64)).map(|(index, symbol)| (index, symbol.to_vec())).collect();
        while kept.len() > lost.len() {
            kept.swap_remove(rng.below(kept.len() as u64) as usize);
        }
        let mut damaged = padded.clone();
        lost.iter().for_each(|index| damaged[usize::from(*index) * 64..][..64].fill(0xee));
        fec::decode(&layout, 0, &mut damaged, |index| !lost.contains(&index), &kept).unwrap();
        prop_assert_eq!(damaged, padded);
    }

    #[test]
    fn blocks_cover_the_object_without_gap_or_overlap(
        length in 1_u64..1_000_000, symbol in 1_u16..23, source in 1_u16..200, repair in 1_u16..100,
    ) {
        let layout = BlockLayout::new(length, symbol * 64, source, repair).unwrap();
        let mut end = 0;
        for block in 0..layout.blocks() {
            let range = layout.range(block);
            prop_assert!(range.start == end && range.end > end);
            prop_assert!((1..=source).contains(&layout.source_symbols(block)));
            end = range.end;
        }
        prop_assert_eq!(end, length);
        prop_assert!(layout.range(layout.blocks()).is_empty());
    }
}
