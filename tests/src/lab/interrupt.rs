//! Ctrl-C: the labs of this process go before it does.

use super::record::{LabRecord, ProcessId};
use super::wait;
use anyhow::Result;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use std::time::Duration;

const REAP_DEADLINE: Duration = Duration::from_secs(30);
/// What shells report for a program that ended on ctrl-C.
const INTERRUPTED: i32 = 130;

/// From now on SIGINT, SIGTERM and SIGHUP take down what this process built, then end it. To be
/// called first in `main`: threads started before would still die of the signal.
///
/// # Errors
/// When the signals cannot be held back.
pub fn remove_labs_on_signals() -> Result<()> {
    let mut signals = SigSet::empty();
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().for_each(|signal| signals.add(signal));
    signals.thread_block()?;
    std::thread::spawn(move || {
        if signals.wait().is_ok() {
            eprintln!("interrupted; taking the lab down");
            if let Err(error) = remove_own() {
                eprintln!("{error:#}; `lab down` removes what is left");
            }
            std::process::exit(INTERRUPTED);
        }
    });
    Ok(())
}

fn remove_own() -> Result<()> {
    let own = ProcessId::own()?;
    let labs: Vec<_> = LabRecord::all()?.into_iter().filter(|lab| lab.builder == own).collect();
    labs.iter().for_each(LabRecord::kill_hosts);
    // The kernel keeps a host's first process until all others, our children, were reaped.
    wait::until("the lab's processes to end", REAP_DEADLINE, || Ok(all_reaped().then_some(())))?;
    labs.iter().try_for_each(LabRecord::remove)
}

/// Reaps what has ended; whether no child is left.
fn all_reaped() -> bool {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return false,
            Err(Errno::ECHILD) => return true,
            Ok(_) | Err(_) => (),
        }
    }
}
