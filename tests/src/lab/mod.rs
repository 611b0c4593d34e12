//! The lab: hosts on one machine.

pub mod zfs_host;
