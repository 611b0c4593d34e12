//! Sizes and times.

use chrono::{DateTime, Utc};
use humansize::{BINARY, FormatSizeOptions, format_size};

/// As `zfs list` writes it: `118M`, `1.2G`, `512B`.
pub(crate) fn size(bytes: u64) -> String {
    let options = FormatSizeOptions::from(BINARY).decimal_places(1).space_after_value(false);
    format_size(bytes, options).replace("iB", "").replace("kiB", "K").replace('k', "K")
}

/// For a sentence: `118.3 MiB`.
pub(crate) fn size_in_words(bytes: u64) -> String {
    format_size(bytes, FormatSizeOptions::from(BINARY).decimal_places(1))
}

/// `3 s ago`, `2 h ago`.
pub(crate) fn ago(then: DateTime<Utc>, now: DateTime<Utc>) -> String {
    format!("{} ago", age(then, now))
}

/// `3 s`, `2 h`; the clocks of two hosts differ, so what lies ahead is now.
pub(crate) fn age(then: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - then).num_seconds().max(0);
    let (count, unit) = match seconds {
        0..120 => (seconds, "s"),
        120..7200 => (seconds / 60, "min"),
        7200..172_800 => (seconds / 3600, "h"),
        _ => (seconds / 86_400, "d"),
    };
    format!("{count} {unit}")
}

/// `0.3 s`, `128.4 s`.
pub(crate) fn seconds(seconds: f64) -> String {
    format!("{seconds:.1} s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn sizes_are_as_zfs_writes_them() {
        let cases: [(u64, &str); 6] = [
            (0, "0B"),
            (512, "512B"),
            (64 << 10, "64K"),
            (124_010_000, "118.3M"),
            (2 << 30, "2G"),
            (3 << 40, "3T"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(size_in_words(124_010_000), "118.3 MiB");
    }

    #[test]
    fn ages_have_one_unit() {
        let now = Utc::now();
        for (seconds, text) in
            [(-9, "0 s ago"), (3, "3 s ago"), (300, "5 min ago"), (7500, "2 h ago"), (900_000, "10 d ago")]
        {
            assert_eq!(ago(now - TimeDelta::seconds(seconds), now), text);
        }
    }
}
