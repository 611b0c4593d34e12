//! SIGTERM and SIGINT become one cancellation that every task listens to; SIGHUP a call.

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

/// Calls `reload` at each SIGHUP, which from now on no longer ends the process.
///
/// # Errors
/// When the signal handler cannot be set.
pub fn on_hangup(mut reload: impl FnMut() + Send + 'static) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
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
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    #[tokio::test]
    async fn each_hangup_is_a_call_and_no_end() {
        let (sender, mut calls) = tokio::sync::mpsc::unbounded_channel();
        on_hangup(move || sender.send(()).unwrap()).unwrap();
        for _ in 0..2 {
            kill(Pid::this(), Signal::SIGHUP).unwrap();
            calls.recv().await.unwrap();
        }
    }
}
