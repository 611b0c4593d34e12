//! Errors, a type for each operation of the trait: every ZFS behind it fails in the same words.

mod file_system;
mod mount_point;
mod snapshot;
mod stream;

pub use file_system::{CreateError, DestroyError, MountError, ReadError};
pub use mount_point::MountPointError;
pub use snapshot::{CloneError, SnapshotError};
pub use stream::{ReceiveError, SendError};
