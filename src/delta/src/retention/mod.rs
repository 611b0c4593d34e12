//! Which snapshots may go: pure, the same for registrar and agents.
//!
//! Promises: the newest snapshot always stays, and so does each one that something needs. Of the others go those older
//! than the window, and those beyond the newest so many, however young. Each fate says why.

use bootstash_base::names::{NodeName, SnapshotName};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Something that needs a snapshot, whatever its age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// A view, which is a clone of it.
    View,
    /// A node that has it as its newest: the next delta for that node starts from it.
    BaseOf(NodeName),
    /// A node that is far before it: it stays within the window, and that node does without where there are too many.
    Ahead(NodeName),
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Snapshots younger than this.
    pub window: Duration,
    /// No more than so many, but for those that something needs.
    pub snapshots_max: usize,
}

/// As many as there are within the window.
impl From<Duration> for Keep {
    fn from(window: Duration) -> Self {
        Self { window, snapshots_max: usize::MAX }
    }
}

/// What becomes of one snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFate {
    /// The snapshot.
    pub name: SnapshotName,
    /// Whether it stays.
    pub keep: bool,
    /// What makes it kept or removed, for a person.
    pub reason: String,
}

/// What is known of one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFacts {
    /// Its name.
    pub name: SnapshotName,
    /// Since when this host has it, by this host's clock.
    pub created: DateTime<Utc>,
    /// What needs it.
    pub pins: Vec<Pin>,
}

/// Why a snapshot stays or goes.
enum Reason<'a> {
    Newest,
    Young { left: TimeDelta },
    Pinned(&'a [Pin]),
    Expired { age: TimeDelta },
    TooMany { snapshots_max: usize },
}

/// The fate of each snapshot, oldest first, whatever the order given.
pub fn plan(snapshots: &[SnapshotFacts], now: DateTime<Utc>, keep: impl Into<Keep>) -> Vec<SnapshotFate> {
    let keep = keep.into();
    let mut ordered: Vec<&SnapshotFacts> = snapshots.iter().collect();
    ordered.sort_by(|a, b| a.name.cmp(&b.name));
    let count = ordered.len();
    let fate = |(at, facts)| fate(facts, count - 1 - at, now, keep);
    ordered.into_iter().enumerate().map(fate).collect()
}

fn fate(facts: &SnapshotFacts, newer: usize, now: DateTime<Utc>, keep: Keep) -> SnapshotFate {
    let reason = reason(facts, newer, now, keep);
    let keep = !matches!(reason, Reason::Expired { .. } | Reason::TooMany { .. });
    SnapshotFate { name: facts.name.clone(), keep, reason: reason.to_string() }
}

/// `newer`: how many snapshots came after it.
fn reason(facts: &SnapshotFacts, newer: usize, now: DateTime<Utc>, keep: Keep) -> Reason<'_> {
    let Keep { window, snapshots_max } = keep;
    // A window past what the calendar holds is one that never ends.
    let window = TimeDelta::from_std(window).unwrap_or(TimeDelta::MAX);
    let age = now.signed_duration_since(facts.created);
    if newer == 0 {
        Reason::Newest
    } else if facts.pins.iter().any(|pin| !matches!(pin, Pin::Ahead(_))) {
        Reason::Pinned(&facts.pins)
    } else if newer >= snapshots_max {
        Reason::TooMany { snapshots_max }
    } else if !facts.pins.is_empty() {
        Reason::Pinned(&facts.pins)
    } else if age < window {
        Reason::Young { left: window.checked_sub(&age).unwrap_or(TimeDelta::MAX) }
    } else {
        Reason::Expired { age }
    }
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("it is the newest"),
            Self::Young { left } => write!(f, "within the window for another {}", Span(*left)),
            Self::Pinned(pins) => write!(f, "needed by {}", Pins(pins)),
            Self::TooMany { snapshots_max } => {
                write!(f, "there are {snapshots_max} newer ones, and no more are kept (snapshots_max)")
            }
            Self::Expired { age } => write!(f, "{} old, past the window", Span(*age)),
        }
    }
}

/// A list of pins as a person reads it; names at most three nodes.
struct Pins<'a>(&'a [Pin]);

impl fmt::Display for Pins<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMED: usize = 3;
        for (index, pin) in self.0.iter().take(NAMED).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match pin {
                Pin::View => write!(f, "{comma}a view")?,
                Pin::BaseOf(node) | Pin::Ahead(node) => write!(f, "{comma}node {node}")?,
            }
        }
        match self.0.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// A time span in its largest unit, for a sentence.
#[derive(Clone, Copy, Debug)]
pub struct Span(pub TimeDelta);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = self.0;
        match (span.num_days(), span.num_hours(), span.num_minutes()) {
            (days @ 2.., ..) => write!(f, "{days} days"),
            (_, hours @ 2.., _) => write!(f, "{hours} hours"),
            (_, _, minutes @ 2..) => write!(f, "{minutes} minutes"),
            _ => write!(f, "{} s", span.num_seconds()),
        }
    }
}

#[cfg(test)]
mod tests;
