//! What the bench of overlays tells: rows for people and for comparison. Pure.

use crate::demo::table::{finish, new};
use serde::Serialize;
use std::time::Duration;

/// One figure, and what it is to reach, if anything.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Row {
    measure: String,
    value: f64,
    reach: Option<f64>,
    ok: Option<bool>,
}

impl Row {
    pub(super) fn at_most(measure: &str, value: f64, reach: f64) -> Self {
        Self { measure: measure.to_owned(), value, reach: Some(reach), ok: Some(value <= reach) }
    }

    pub(super) fn at_least(measure: &str, value: f64, reach: f64) -> Self {
        Self { measure: measure.to_owned(), value, reach: Some(reach), ok: Some(value >= reach) }
    }

    /// One that nothing is asked of.
    pub(super) fn told(measure: &str, value: f64) -> Self {
        Self { measure: measure.to_owned(), value, reach: None, ok: None }
    }
}

/// What calls took, and all of them together.
#[derive(Clone, Debug)]
pub(super) struct Times {
    each: Vec<Duration>,
    all: Duration,
}

impl Times {
    pub(super) fn new(mut each: Vec<Duration>, all: Duration) -> Self {
        each.sort();
        Self { each, all }
    }

    pub(super) fn median_ms(&self) -> f64 {
        self.percentile_ms(50)
    }

    pub(super) fn p95_ms(&self) -> f64 {
        self.percentile_ms(95)
    }

    pub(super) fn longest_ms(&self) -> f64 {
        self.percentile_ms(100)
    }

    pub(super) fn per_second(&self) -> f64 {
        self.each.len() as f64 / self.all.as_secs_f64()
    }

    /// The shortest time that so many of a hundred calls did not exceed.
    fn percentile_ms(&self, percent: usize) -> f64 {
        let rank = (self.each.len() * percent).div_ceil(100).max(1);
        self.each.get(rank - 1).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    }
}

pub(super) fn render(rows: &[Row]) -> String {
    let mut table = new(["MEASURE", "VALUE", "REACH", "OK"]);
    for Row { measure, value, reach, ok } in rows {
        let reach = reach.map_or_else(|| "-".to_owned(), |reach| reach.to_string());
        let ok = ok.map_or("-", |ok| if ok { "yes" } else { "NO" });
        table.add_row([measure.clone(), format!("{value:.1}"), reach, ok.to_owned()]);
    }
    finish(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_calls_that_were_made() {
        let times = |count| Times::new((1..=count).rev().map(Duration::from_millis).collect(), LONG);
        const LONG: Duration = Duration::from_secs(2);
        let hundred = times(100);
        assert_eq!((hundred.median_ms(), hundred.p95_ms(), hundred.longest_ms()), (50.0, 95.0, 100.0));
        assert_eq!((times(1).median_ms(), times(1).p95_ms()), (1.0, 1.0));
        assert_eq!((times(0).p95_ms(), hundred.per_second()), (0.0, 50.0));
    }

    #[test]
    fn what_is_not_reached_is_seen() {
        let rows =
            [Row::at_most("p95", 21.0, 20.0), Row::at_least("rate", 200.0, 200.0), Row::told("p50", 1.0)];
        assert_eq!(rows.each_ref().map(|row| row.ok), [Some(false), Some(true), None]);
        let text = render(&rows);
        assert!(text.contains("NO") && text.contains("yes"), "{text}");
    }
}
