//! Which snapshots may go: pure, the same for registrar and agents.
//!
//! Promises: the newest snapshot always stays, and so does each one that is younger than the window
//! or pinned. What goes is old, unpinned and superseded; each fate says why.

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
}

/// The fate of each snapshot, oldest first, whatever the order given.
pub fn plan(snapshots: &[SnapshotFacts], now: DateTime<Utc>, window: Duration) -> Vec<SnapshotFate> {
    let mut ordered: Vec<&SnapshotFacts> = snapshots.iter().collect();
    ordered.sort_by(|a, b| a.name.cmp(&b.name));
    let newest = ordered.last().map(|facts| facts.name.clone());
    ordered.into_iter().map(|facts| fate(facts, newest.as_ref(), now, window)).collect()
}

fn fate(
    facts: &SnapshotFacts,
    newest: Option<&SnapshotName>,
    now: DateTime<Utc>,
    window: Duration,
) -> SnapshotFate {
    let reason = reason(facts, newest, now, window);
    let keep = !matches!(reason, Reason::Expired { .. });
    SnapshotFate { name: facts.name.clone(), keep, reason: reason.to_string() }
}

fn reason<'a>(
    facts: &'a SnapshotFacts,
    newest: Option<&SnapshotName>,
    now: DateTime<Utc>,
    window: Duration,
) -> Reason<'a> {
    // A window past what the calendar holds is one that never ends.
    let window = TimeDelta::from_std(window).unwrap_or(TimeDelta::MAX);
    let age = now.signed_duration_since(facts.created);
    if newest == Some(&facts.name) {
        Reason::Newest
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
                Pin::BaseOf(node) => write!(f, "{comma}node {node}")?,
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
