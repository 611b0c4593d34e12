//! Virtual time: that of the runtime, whose clock is paused and jumps to the next timer when nothing can
//! run. The time of day follows it, but for jumps.

use chrono::{DateTime, TimeDelta, Utc};
use std::cell::Cell;
use tokio::time::Instant;

thread_local! {
    static ORIGIN: Cell<Option<Instant>> = const { Cell::new(None) };
    static JUMPED_MS: Cell<i64> = const { Cell::new(0) };
    static TICK_MS: Cell<i64> = const { Cell::new(1) };
}

/// Midnight before the first event of every seed, in seconds since 1970.
const FIRST_DAY_SECONDS: i64 = 1_795_219_200;

/// Begins at zero, for this thread. The time of day goes on by `tick_ms` at once: by a millisecond, or by so
/// much that snapshots of different histories get the same name.
pub(super) fn begin(tick_ms: i64) {
    TICK_MS.set(tick_ms);
    ORIGIN.set(Some(Instant::now()));
    JUMPED_MS.set(0);
    bootstash_base::clock::set(time_of_day);
}

/// Milliseconds since the beginning.
pub(super) fn now_ms() -> u64 {
    let origin = ORIGIN.get().unwrap_or_else(Instant::now);
    u64::try_from(origin.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The instant `ms` milliseconds after the beginning.
pub(super) fn at_ms(ms: u64) -> Instant {
    ORIGIN.get().unwrap_or_else(Instant::now) + std::time::Duration::from_millis(ms)
}

/// Sets every host's time of day forward or back.
pub(super) fn jump(ms: i64) {
    JUMPED_MS.set(JUMPED_MS.get() + ms);
}

fn time_of_day() -> DateTime<Utc> {
    let ms = i64::try_from(now_ms()).unwrap_or(i64::MAX) + JUMPED_MS.get();
    let ms = ms - ms % TICK_MS.get();
    DateTime::from_timestamp(FIRST_DAY_SECONDS, 0).unwrap_or_default() + TimeDelta::milliseconds(ms)
}
