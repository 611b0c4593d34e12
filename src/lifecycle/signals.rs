//! SIGTERM and SIGINT become one cancellation that every task listens to.

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
