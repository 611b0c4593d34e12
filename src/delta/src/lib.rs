//! What a volume holds and how it travels: the difference between two snapshots as an immutable file, the log of such
//! files, what a node must do to be up to date, which snapshots may go, and the catalog of boot caches.
//!
//! A delta written, verified and read back, without a pool: `examples/delta_file.rs`. What a node does with all this, and
//! why: `docs/replication.md`.
//!
//! # Map
//!
//! | module or type | what for |
//! |---|---|
//! | [`write()`] | a ZFS stream as an immutable file, under its final name once it is whole |
//! | [`verify`], [`read_header`], [`open`] | whether a file is the one that was announced; its header; its stream |
//! | [`Header`], [`Encoding`], [`SnapshotId`] | what a file says of itself: from which snapshot to which, how packed, its digest |
//! | [`VolumeLog`], [`DeltaRecord`] | the registrar's snapshots and the deltas between them, as they are announced |
//! | [`replication`] | what a node must do to be up to date: deltas, a full stream, or a person's decision |
//! | [`retention`] | which snapshots may go, each with its reason |
//! | [`catalog`] | what a mounted volume holds: boot caches and their manifests |
//!
//! # Promises
//!
//! - A file under its final name is whole and on disk. What [`verify`] passes are the bytes that were published: the
//!   announced digest covers the header, and the header's the payload.
//! - Files are streamed, whatever their size; nothing here starts a program or asks ZFS.
//! - [`replication`] and [`retention`] are pure: they tell snapshots apart by GUID, and decide by what they are given.
//! - What an earlier version wrote stays readable.

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
