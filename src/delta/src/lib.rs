//! What a volume holds and how it travels: the difference between two snapshots as an immutable file, the log of such
//! files, what a node must do to be up to date, which snapshots may go, and the catalog of boot caches.
//!
//! Map: [`write()`], [`verify`], [`open`] and [`Header`] are the file; [`VolumeLog`] lists snapshots and deltas;
//! [`replication`] and [`retention`] decide without I/O; [`catalog`] reads what a mounted volume holds.

pub mod catalog;
mod format;
mod log;
pub mod replication;
pub mod retention;

pub use format::{
    DeltaReadError, DeltaWriteError, EXTENSION, Encoding, HEADER_BYTES, Header, SnapshotId, file_name, open,
    read_header, verify, write,
};
pub use log::{DeltaRecord, VolumeLog};
