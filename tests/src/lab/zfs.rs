//! A ZFS for each host: a zfs-fuse of its own where the kernel has no ZFS, and a pool in a file.

use super::daemon::Program;
use super::host::Host;
use super::run::Call;
use super::wait;
use anyhow::Result;
use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// What a zfs-fuse keeps to itself: its socket, its list of pools, its lock.
pub(super) const PRIVATE_DIRS: [&str; 3] = ["/run/zfs", "/var/lib/zfs", "/run/lock/zfs"];
const SOCKET: &str = "/run/zfs/zfs_socket";
const START_DEADLINE: Duration = Duration::from_secs(30);

/// Gives `host` its ZFS and an empty pool.
///
/// # Errors
/// When one of them cannot be made.
pub(super) fn make_pool(host: &Host, pool_bytes: u64) -> Result<()> {
    if !Path::new("/dev/zfs").exists() {
        start_zfs_fuse(host)?;
    }
    let file = host.dir().join("pool");
    File::create(&file)?.set_len(pool_bytes)?;
    let args = ["create", "-m", "none", host.pool()];
    host.command("/usr/sbin/zpool", args).args([file]).output()?;
    Ok(())
}

/// Without caches of attributes and pages, which show old content after a receive.
fn start_zfs_fuse(host: &Host) -> Result<()> {
    let args = ["--no-kstat-mount", "-n", "-a", "0", "-e", "0", "--disable-page-cache"];
    let call: Call = host.command("/usr/sbin/zfs-fuse", args);
    host.spawn(Program::ZfsFuse, &call)?;
    wait::until("zfs-fuse to answer", START_DEADLINE, || {
        Ok(UnixStream::connect(host.outside(SOCKET)).ok().map(drop))
    })
}
