//! What systemd is told: that the daemon is ready, how it goes, that it lives, that it ends.
//!
//! Promises: without a service manager that listens (`NOTIFY_SOCKET`) nothing is done, and one that does not
//! listen any more fails nothing. Source: sd_notify(3).

use bootstash_base::error::Chain;
use bootstash_net::api::{Alive, Client, Endpoint, routes};
use sd_notify::NotifyState;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::task::AbortOnDropHandle;

/// How often more time is asked for, and how much: three asks may be lost.
const EXTEND_EVERY: Duration = Duration::from_secs(10);
const EXTEND_BY: Duration = Duration::from_secs(40);
/// A start that takes longer than that hangs, and VMs that have nothing to do with us must not wait for it any longer.
const START_MAX: Duration = Duration::from_secs(10 * 60);

/// All is up; units ordered after ours start now. `status` is shown by `systemctl status`.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// How it goes, in a line.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// The end began.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Awaits a start that may take longer than the unit's `TimeoutStartSec=`, as where ZFS mounts many views,
/// and asks for more time meanwhile: for ten minutes, at most.
pub async fn starting<T>(status: &str, start: impl Future<Output = T>) -> T {
    self::status(status);
    let asks = u32::try_from(START_MAX.as_secs() / EXTEND_EVERY.as_secs()).unwrap_or(u32::MAX);
    let _extending = AbortOnDropHandle::new(tokio::spawn(async move {
        for _ in 0..asks {
            tell(&[NotifyState::ExtendTimeoutUsec(u32::try_from(EXTEND_BY.as_micros()).unwrap_or(u32::MAX))]);
            tokio::time::sleep(EXTEND_EVERY).await;
        }
    }));
    start.await
}

/// Says that the daemon lives, as long as it answers on its own socket, with what never waits for ZFS, a network or a
/// disk: a restart would mend none of these. Never ends; does nothing where the unit has no `WatchdogSec=`.
pub async fn watchdog(socket: PathBuf) {
    let Some(period) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    let mut ticks = tokio::time::interval(period / 3);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match answers(&socket, period / 3).await {
            Ok(()) => tell(&[NotifyState::Watchdog]),
            Err(error) => {
                tracing::error!("this daemon does not answer on its own socket: {}", Chain(&*error))
            }
        }
    }
}

async fn answers(socket: &Path, within: Duration) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let client = Client::new(Endpoint::Unix(socket.to_owned()))?;
    let Alive {} = tokio::time::timeout(within, client.get(routes::ALIVE, &())).await??;
    Ok(())
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!("the service manager was not told: {error}");
    }
}
