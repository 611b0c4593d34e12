//! Mutations of JSON that leave it JSON: what bytes alone reach too seldom.

use super::bytes::INTERESTING;
use super::{bytes, pick};
use fastrand::Rng;
use serde_json::Value;

/// One of the seeds, changed as JSON or as bytes.
pub(super) fn mutate(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    if rng.u32(..3) == 0 {
        return bytes::mutate(rng, seeds);
    }
    let Ok(mut value) = serde_json::from_slice(pick(rng, seeds).as_slice()) else {
        return bytes::mutate(rng, seeds);
    };
    for _ in 0..=rng.u32(..4) * rng.u32(..2) {
        change(rng, &mut value);
    }
    value.to_string().into_bytes()
}

/// Changes one node: goes down by chance, and stops by chance.
fn change(rng: &mut Rng, value: &mut Value) {
    let stop = rng.u32(..16) == 0;
    match value {
        Value::Object(fields) if !stop && !fields.is_empty() => {
            let key = pick(rng, &fields.keys().cloned().collect::<Vec<_>>()).clone();
            match rng.u32(..8) {
                0 => drop(fields.remove(&key)),
                1 => drop(fields.insert(text(rng, &key), leaf(rng))),
                _ => fields.get_mut(&key).into_iter().for_each(|field| change(rng, field)),
            }
        }
        Value::Array(items) if !stop && !items.is_empty() => {
            let at = rng.usize(..items.len());
            match rng.u32(..8) {
                0 => drop(items.remove(at)),
                1 => items.extend(vec![items[at].clone(); rng.usize(1..64)]),
                _ => change(rng, &mut items[at]),
            }
        }
        Value::String(old) if !stop => *value = Value::String(text(rng, old)),
        _ => *value = leaf(rng),
    }
}

fn leaf(rng: &mut Rng) -> Value {
    match rng.u32(..9) {
        0 => Value::Null,
        1 => rng.bool().into(),
        2 => (-(rng.i64(..) & 0xffff)).into(),
        3 => rng.f64().into(),
        4 => 1e308.into(),
        5 => Value::Array(vec![Value::Null; rng.usize(..8)]),
        6 => text(rng, "").into(),
        _ => (*pick(rng, &INTERESTING)).into(),
    }
}

/// Another text, often one that looks much the same.
fn text(rng: &mut Rng, old: &str) -> String {
    const WORDS: [&str; 14] = [
        "..",
        "/",
        "../../etc/passwd",
        "/dev/zero",
        "-",
        "%00",
        "\u{0}",
        "\u{202e}",
        "18446744073709551615",
        "bs-999999-20261121T101530Z",
        "bs-18446744073709551615-99991231T235959Z",
        "http://[::1]:1/",
        "+262142-12-31T23:59:59Z",
        "ü",
    ];
    match rng.u32(..5) {
        0 => (*pick(rng, &WORDS)).to_owned(),
        1 => old.repeat(rng.usize(..40)),
        2 => format!("{old}{}", pick(rng, &WORDS)),
        _ => {
            let mut changed = old.as_bytes().to_vec();
            bytes::change(rng, &mut changed, b"");
            String::from_utf8_lossy(&changed).into_owned()
        }
    }
}
