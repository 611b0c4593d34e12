//! Which door to ZFS a daemon takes.

use super::{CommandZfs, OpenError, Programs, Zfs};
use std::sync::Arc;

/// Opens ZFS for work in `pool`, with the usual limits, and says in the log which way: by libzfs_core
/// where bootstash was built for that (feature `libzetta`) and this host's ZFS is in the kernel, else
/// by its commands.
///
/// # Errors
/// Those of [`CommandZfs::open`]. That libzfs_core cannot be used is none.
pub async fn open(programs: &Programs, pool: &str) -> Result<Arc<dyn Zfs>, OpenError> {
    Ok(best(CommandZfs::open(programs, pool).await?))
}

#[cfg(not(feature = "libzetta"))]
fn best(commands: CommandZfs) -> Arc<dyn Zfs> {
    by_commands(commands)
}

#[cfg(feature = "libzetta")]
fn best(commands: CommandZfs) -> Arc<dyn Zfs> {
    use super::{Limits, ZettaZfs};
    match ZettaZfs::over(commands, Limits::default()) {
        Ok(zetta) => {
            tracing::info!(flavor = ?zetta.capabilities().flavor, "ZFS by libzfs_core and commands");
            Arc::new(zetta)
        }
        // This host's ZFS is of another kind: nothing that anyone has to mend.
        Err((OpenError::NoKernel, commands)) => by_commands(*commands),
        Err((error, commands)) => {
            tracing::warn!("libzfs_core is not used: {}", crate::fault::Chain(&error));
            by_commands(*commands)
        }
    }
}

fn by_commands(commands: CommandZfs) -> Arc<dyn Zfs> {
    tracing::info!(flavor = ?commands.capabilities().flavor, "ZFS by commands");
    Arc::new(commands)
}
