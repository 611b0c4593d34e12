//! What every other crate stands on: names parsed once at the edge, what an error asks of whoever meets it, the time of
//! day, back-off, blocking calls with a deadline, small files replaced as a whole, who files belong to, paths as text, what is mounted where,
//! points at which tests kill a daemon, and work done with another user's rights.
//!
//! Promises: nothing here speaks to a network, to ZFS or to QEMU.

extern crate self as bootstash_base;

pub mod backoff;
pub mod blocking;
pub mod clock;
pub mod error;
pub mod file_owner;
pub mod files;
pub mod impersonate;
pub mod kill_point;
pub mod mount_table;
pub mod names;
pub mod quoted_path;
#[cfg(any(feature = "testing", test))]
pub mod testing;
