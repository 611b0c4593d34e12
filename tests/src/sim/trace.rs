//! What happened in a seed, line by line, and a digest of it: the same seed gives the same.

use super::time;
use parking_lot::{Mutex, MutexGuard};
use std::fmt::{self, Write};

/// Line by line.
#[derive(Debug)]
pub(super) struct Trace {
    lines: Mutex<Lines>,
    shown: bool,
}

#[derive(Debug, Default)]
struct Lines {
    digest: blake3::Hasher,
    line: String,
    count: u64,
}

impl Trace {
    /// A trace that is printed as it comes, or only digested.
    pub(super) fn new(shown: bool) -> Self {
        Self { lines: Mutex::default(), shown }
    }

    pub(super) fn note(&self, what: fmt::Arguments<'_>) {
        let mut lines = self.lock();
        let lines = &mut *lines;
        lines.line.clear();
        // Writing into a string does not fail.
        writeln!(lines.line, "{:>9} {what}", time::now_ms()).ok();
        lines.digest.update(lines.line.as_bytes());
        lines.count += 1;
        if self.shown {
            eprint!("{}", lines.line);
        }
    }

    /// A digest of all lines, and how many there were.
    pub(super) fn digest(&self) -> (String, u64) {
        let lines = self.lock();
        (lines.digest.finalize().to_hex()[..16].to_owned(), lines.count)
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock()
    }
}
