//! SIGTERM and SIGINT become one cancellation that every task listens to; SIGHUP a call.

use nix::sys::signal::{SigSet, Signal};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled by the first SIGTERM or SIGINT. A second one ends the process at once.
///
/// # Errors
/// When the signal handlers cannot be set.
pub fn shutdown_on_signal() -> std::io::Result<CancellationToken> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let token = CancellationToken::new();
    let cancelled = token.clone();
    // Lives as long as the process: the runtime owns it.
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => (), _ = int.recv() => () }
        tracing::info!("stopping");
        cancelled.cancel();
        tokio::select! { _ = term.recv() => (), _ = int.recv() => () }
        std::process::exit(130);
    });
    Ok(token)
}

/// Holds SIGHUP back until [`on_hangup`] is ready for it: by itself it would end the process. Call it first in
/// `main`, as threads inherit it.
pub fn hold_hangup() {
    hangup_alone().thread_block().ok();
}

fn hangup_alone() -> SigSet {
    SigSet::from_iter([Signal::SIGHUP])
}

/// Calls `reload` at each SIGHUP, which from now on no longer ends the process.
///
/// # Errors
/// When the signal handler cannot be set.
pub fn on_hangup(mut reload: impl FnMut() + Send + 'static) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    // One that came meanwhile is delivered now.
    hangup_alone().thread_unblock().ok();
    // Lives as long as the process: the runtime owns it.
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            reload();
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::kill;
    use nix::unistd::Pid;

    #[tokio::test]
    async fn each_hangup_is_a_call_and_no_end() {
        hold_hangup();
        assert!(SigSet::thread_get_mask().unwrap().contains(Signal::SIGHUP));
        let (sender, mut calls) = tokio::sync::mpsc::unbounded_channel();
        on_hangup(move || sender.send(()).unwrap()).unwrap();
        assert!(!SigSet::thread_get_mask().unwrap().contains(Signal::SIGHUP));
        for _ in 0..2 {
            kill(Pid::this(), Signal::SIGHUP).unwrap();
            calls.recv().await.unwrap();
        }
    }
}
