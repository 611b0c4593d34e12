//! Ctrl-C: the labs of this process go before it does.

use super::record::{LabRecord, ProcessId};
use super::wait;
use anyhow::Result;
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

const REAP_DEADLINE: Duration = Duration::from_secs(30);
/// What shells report for a program that ended on ctrl-C.
const INTERRUPTED: i32 = 130;

/// From now on SIGINT, SIGTERM and SIGHUP take down what this process built, then end it.
///
/// # Errors
/// When the signals cannot be listened for.
pub fn remove_labs_on_signals() -> Result<()> {
    // Handlers, not a mask: programs that are started inherit a mask, and would be deaf.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let signals = {
        let _context = runtime.enter();
        [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal)
    };
    let [interrupt, terminate, hangup] = signals;
    let mut signals = [interrupt?, terminate?, hangup?];
    std::thread::spawn(move || {
        runtime.block_on(any(&mut signals));
        eprintln!("interrupted; taking the lab down");
        if let Err(error) = remove_own() {
            eprintln!("{error:#}; `lab down` removes what is left");
        }
        std::process::exit(INTERRUPTED);
    });
    Ok(())
}

async fn any([interrupt, terminate, hangup]: &mut [Signal; 3]) {
    tokio::select! { _ = interrupt.recv() => (), _ = terminate.recv() => (), _ = hangup.recv() => () }
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
