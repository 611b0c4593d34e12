//! The processor time a process has used, as the kernel counts it.

use nix::unistd::{SysconfVar, sysconf};
use std::time::Duration;

/// In user and in kernel mode, of all its threads; none where there is no such process.
pub(super) fn of_process(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let ticks_per_second = sysconf(SysconfVar::CLK_TCK).ok()??;
    let ticks = ticks(&stat)?;
    Some(Duration::from_secs_f64(ticks as f64 / ticks_per_second as f64))
}

/// `utime` and `stime` of proc(5): the 14th and 15th field. The second is a name, in which anything may stand.
fn ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut times = after_name.split_whitespace().skip(11);
    let (user, system) = (times.next()?.parse::<u64>().ok()?, times.next()?.parse::<u64>().ok()?);
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_times_whatever_the_name() {
        let stat = "7 (a b) (c) S 1 7 7 0 -1 4194560 2093 0 0 0 1234 66 0 0 20 0 9 0 4117 1 2 3";
        assert_eq!(ticks(stat), Some(1300));
        assert_eq!(ticks("7 (x"), None);
    }

    #[test]
    fn a_process_that_works_uses_time() {
        let before = of_process(std::process::id()).unwrap();
        let mut sum = 0_u64;
        while of_process(std::process::id()).unwrap() == before {
            sum = (0..1_000_000).fold(sum, |sum, step| std::hint::black_box(sum ^ step));
        }
        assert_eq!(of_process(u32::MAX), None);
    }
}
