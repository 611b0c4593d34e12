//! The time of day. A simulation puts a clock of its own in its place, on its own thread alone.

use chrono::{DateTime, Utc};
use std::cell::Cell;

thread_local! {
    static CLOCK: Cell<fn() -> DateTime<Utc>> = const { Cell::new(Utc::now) };
}

/// The time of day.
pub fn now() -> DateTime<Utc> {
    CLOCK.get()()
}

/// Whether a simulation tells the time on this thread. What then waits for another thread, waits for ever or
/// not at all, as no time passes.
pub fn is_simulated() -> bool {
    !std::ptr::fn_addr_eq(CLOCK.get(), Utc::now as fn() -> DateTime<Utc>)
}

/// From now on `clock` tells the time of day, to whoever asks on this thread.
pub fn set(clock: fn() -> DateTime<Utc>) {
    CLOCK.set(clock);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_clock_counts_on_its_own_thread_alone() {
        set(|| DateTime::UNIX_EPOCH);
        assert_eq!(now(), DateTime::UNIX_EPOCH);
        let elsewhere = std::thread::spawn(now).join().unwrap();
        set(Utc::now);
        assert!(elsewhere > DateTime::UNIX_EPOCH && now() >= elsewhere);
    }
}
