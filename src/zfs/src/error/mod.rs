//! Errors, a type for each operation of the trait: every ZFS behind it fails in the same words.

mod file_system;
mod snapshot;
mod stream;

pub use file_system::{CreateError, DestroyError, MountError, ReadError};
pub use snapshot::{CloneError, SnapshotError};
pub use stream::{ReceiveError, SendError};
