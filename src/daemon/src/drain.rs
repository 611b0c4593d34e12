//! Ending a daemon's connections in time.

use std::io;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Serves until `stop` is cancelled, then lets connections end for at most `grace`.
///
/// # Errors
/// What serving met.
pub async fn shut_down_within(
    grace: Duration,
    stop: &CancellationToken,
    serving: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    tokio::pin!(serving);
    tokio::select! {
        served = &mut serving => return served,
        () = stop.cancelled() => (),
    }
    tokio::time::timeout(grace, serving).await.unwrap_or(Ok(()))
}
