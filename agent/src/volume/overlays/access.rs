//! Looking at a disk's file with the rights of whoever asked, on storage that may hang.

use super::Overlays;
use bootstash_base::error::Classified;
use bootstash_base::impersonate::{ActAs, UnixPeer};
use bootstash_base::mount_table::MountTable;
use bootstash_base::quoted_path::shown;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;
use tokio::time::Instant;

/// A file could not be looked at; nothing was changed.
#[derive(Debug, Error, Classified)]
pub enum AccessError {
    /// Its storage does not answer.
    #[error("the storage of {} does not answer; try again when it does", shown(.path))]
    #[class(transient)]
    Unresponsive {
        /// The file.
        path: PathBuf,
    },
    /// What the caller may do is not known.
    #[error("cannot act with your rights; ask as root")]
    #[class(operator)]
    Rights {
        /// What the operating system said.
        source: io::Error,
    },
}

impl AccessError {
    /// Another's place could not be taken.
    pub(super) fn rights(source: io::Error) -> Self {
        Self::Rights { source }
    }
}

impl Overlays {
    /// What `work` makes of the file at `path`, which is given the caller's rights to act with; on a thread of the storage
    /// there, if that answers in time.
    pub(super) async fn access<T: Send + 'static, E: From<AccessError> + Send + 'static>(
        &self,
        by: UnixPeer,
        path: &Path,
        within: Duration,
        work: impl FnOnce(&Path, &ActAs) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let (at, file) = (MountTable::read().mount_point_of(path), path.to_owned());
        let work = move || {
            let act_as = by.act_as().map_err(AccessError::rights)?;
            work(&file, &act_as)
        };
        let done = self.storage.ask(&at, Instant::now() + within, work).await;
        done.unwrap_or_else(|| Err(AccessError::Unresponsive { path: path.to_owned() }.into()))
    }
}
