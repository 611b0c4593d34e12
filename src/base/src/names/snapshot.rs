//! Names of the volume's snapshots: `bs-000042-20261121T101530Z`.
//!
//! The number orders them, the time (UTC) is for people. Only `[A-Za-z0-9_.-]` occurs: libzetta
//! cuts names at a colon.

use super::{NameError, text_traits};
use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

const TIME_FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// Name of a snapshot that bootstash made. Ordered by number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SnapshotName {
    number: u64,
    taken: DateTime<Utc>,
    text: String,
}

impl SnapshotName {
    /// The name of snapshot `number`, taken at `taken` (cut to whole seconds).
    pub fn new(number: u64, taken: DateTime<Utc>) -> Self {
        let text = format!("bs-{number:06}-{}", taken.format(TIME_FORMAT));
        let taken = DateTime::from_timestamp(taken.timestamp(), 0).unwrap_or(taken);
        Self { number, taken, text }
    }

    /// Counts up by one with each snapshot of a volume.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// When it was taken, by the registrar's clock.
    pub fn taken(&self) -> DateTime<Utc> {
        self.taken
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for SnapshotName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        parse(text)
            .filter(|name| name.text == text)
            .ok_or_else(|| NameError::new("snapshot name", text, "it reads like bs-000042-20261121T101530Z"))
    }
}

fn parse(text: &str) -> Option<SnapshotName> {
    let (number, taken) = text.strip_prefix("bs-")?.split_once('-')?;
    let taken = NaiveDateTime::parse_from_str(taken, TIME_FORMAT).ok()?;
    Some(SnapshotName::new(number.parse().ok()?, taken.and_utc()))
}

impl PartialOrd for SnapshotName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SnapshotName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.number, self.taken).cmp(&(other.number, other.taken))
    }
}

text_traits!(SnapshotName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_writes() {
        let name = SnapshotName::new(42, "2026-11-21T10:15:30.7Z".parse().unwrap());
        assert_eq!(name.as_str(), "bs-000042-20261121T101530Z");
        assert_eq!(name.as_str().parse::<SnapshotName>().unwrap(), name);
    }

    #[test]
    fn goes_on_past_six_digits_in_order() {
        let now = Utc::now();
        let (small, large) = (SnapshotName::new(999_999, now), SnapshotName::new(1_000_000, now));
        assert!(small < large);
        assert_eq!(large.as_str().parse::<SnapshotName>().unwrap().number(), 1_000_000);
    }

    #[test]
    fn refuses_strangers() {
        for text in [
            "",
            "daily",
            "bs-1-20261121T101530Z",
            "bs-000042-2026",
            "bs--20261121T101530Z",
            "@bs-000042-20261121T101530Z",
        ] {
            assert!(text.parse::<SnapshotName>().is_err(), "{text}");
        }
    }
}
