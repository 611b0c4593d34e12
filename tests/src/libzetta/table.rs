//! Durations of two sides, and their medians side by side. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// A program for each call.
    Program,
    /// libzfs_core.
    Library,
}

/// What was done, and how long that took.
pub(super) type Round = Vec<(&'static str, Duration)>;

/// All that was measured, in the order in which it first came.
#[derive(Debug, Default)]
pub(super) struct Times {
    order: Vec<&'static str>,
    program: BTreeMap<&'static str, Vec<Duration>>,
    library: BTreeMap<&'static str, Vec<Duration>>,
}

impl Times {
    /// Adds what one side did in one round.
    pub(super) fn add(&mut self, side: Side, round: Round) {
        for (what, time) in round {
            if !self.order.contains(&what) {
                self.order.push(what);
            }
            let times = match side {
                Side::Program => &mut self.program,
                Side::Library => &mut self.library,
            };
            times.entry(what).or_default().push(time);
        }
    }

    /// The medians as Markdown.
    pub(super) fn table(&self) -> String {
        let mut text = "| | `zfs` | libzetta | ratio |\n|---|---:|---:|---:|\n".to_owned();
        for what in &self.order {
            let (program, library) = (median(self.program.get(what)), median(self.library.get(what)));
            let ratio = program / library.max(f64::MIN_POSITIVE);
            // Writing to a String does not fail.
            writeln!(text, "| {what} | {program:.2} ms | {library:.2} ms | {ratio:.1} |").ok();
        }
        text
    }
}

fn median(times: Option<&Vec<Duration>>) -> f64 {
    let mut times = times.cloned().unwrap_or_default();
    times.sort_unstable();
    times.get(times.len() / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_medians_side_by_side() {
        let mut times = Times::default();
        for milliseconds in [30, 10, 20] {
            times.add(Side::Program, vec![("exists", Duration::from_millis(milliseconds))]);
            times.add(Side::Library, vec![("exists", Duration::from_millis(5))]);
        }
        assert!(times.table().ends_with("| exists | 20.00 ms | 5.00 ms | 4.0 |\n"), "{}", times.table());
    }
}
