//! Saying what happens while it happens, a line each with the time since the beginning.

use std::time::Instant;

/// Prints to standard output; can be shared by threads.
#[derive(Debug)]
pub struct Narrator {
    start: Instant,
}

impl Narrator {
    /// Starts the clock that lines are stamped with.
    pub fn begin() -> Self {
        Self { start: Instant::now() }
    }

    /// Prints a line, with the time since the start.
    pub fn say(&self, line: &str) {
        println!("{}  {line}", clock(self.start.elapsed().as_secs()));
    }

    /// Seconds since the beginning.
    pub fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }
}

fn clock(seconds: u64) -> String {
    format!("{:>2}:{:02}", seconds / 60, seconds % 60)
}

/// Bytes as a person reads them.
pub fn size(bytes: u64) -> String {
    // Exact below 2^53 bytes.
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.1} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_read_well() {
        assert_eq!(clock(65), " 1:05");
        assert_eq!(size(3 << 19), "1.5 MiB");
        assert_eq!(size(3 << 30), "3.0 GiB");
    }
}
