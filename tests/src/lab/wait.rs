//! Waiting for something that nobody announces, with a deadline.

use anyhow::{Result, bail};
use std::thread;
use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Asks `look` again and again, ever more slowly, until it finds something.
///
/// # Errors
/// When the deadline comes first, with the error of the last look if it had one.
pub fn until<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let seen = look();
        if let Ok(Some(found)) = seen {
            return Ok(found);
        }
        if start.elapsed() >= deadline {
            match seen {
                Err(error) => return Err(error.context(format!("waited {deadline:?} for {what}"))),
                Ok(_) => bail!("waited {deadline:?} for {what}"),
            }
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
