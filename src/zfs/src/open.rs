//! Which interface to ZFS a daemon uses, and what it does there first.

use super::{CommandZfs, OpenError, Programs, Zfs};
use bootstash_base::error::Chain;
use bootstash_base::names::DatasetName;
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
            tracing::warn!("libzfs_core is not used: {}", Chain(&error));
            by_commands(*commands)
        }
    }
}

fn by_commands(commands: CommandZfs) -> Arc<dyn Zfs> {
    tracing::info!(flavor = ?commands.capabilities().flavor, "ZFS by commands");
    Arc::new(commands)
}

/// Has the deduplication table of `volume`'s pool loaded, so that the first writes after a boot do not wait
/// for it. Takes as long as that takes; a failure harms nothing, and is only noted.
pub async fn warm_up(zfs: Arc<dyn Zfs>, volume: DatasetName) {
    match zfs.prefetch_dedup_table(&volume).await {
        Ok(made) => tracing::debug!(?made, "deduplication table prefetched"),
        Err(error) => tracing::debug!("no prefetch of the deduplication table: {}", Chain(&error)),
    }
}
