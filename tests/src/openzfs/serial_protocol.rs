//! What host and guest say to each other over a serial port: one JSON object a line.

use serde::{Deserialize, Serialize};

/// The ports of a guest are called this, and a number.
pub(super) const PORT_NAME: &str = "bootstash.";
/// How many programs can run in a guest at once.
pub(super) const PORTS: usize = 4;

/// Runs a program, as root, in a process group of its own.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Run {
    /// The program and its arguments.
    pub(super) words: Vec<String>,
    /// Variables besides those of the guest.
    pub(super) env: Vec<(String, String)>,
    /// It is killed after this time.
    pub(super) limit_seconds: u64,
}

/// What a guest tells of a program it runs.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum News {
    /// A line of its standard output.
    Out(String),
    /// A line of its standard error.
    Err(String),
    /// Its exit status, 128 and the signal's number where a signal ended it. Nothing follows.
    Ended(i32),
    /// It did not end in time, and was killed. Nothing follows.
    Overdue,
    /// It could not be started. Nothing follows.
    NotStarted(String),
}
