//! What the registrar, the agent and the command share.
//!
//! Each folder is one word of the field: `zfs` and `qemu` are the only doors to those programs,
//! `replication` and `retention` decide without I/O, `delta` and `catalog` say what lies on disk,
//! `api` what goes over the wire. The crate spawns no task that outlives the value which owns it; only a
//! thread that the kernel holds can (see `zfs`).

pub mod api;
pub mod catalog;
pub mod clock;
pub mod config;
pub mod delta;
pub mod fault;
pub mod identity;
pub mod lifecycle;
pub mod listen;
pub mod membership;
pub mod multicast;
pub mod names;
pub mod nbd;
pub mod qcow2;
pub mod qemu;
pub mod replication;
pub mod retention;
pub mod rights;
pub mod serving;
pub mod telemetry;
pub mod zfs;
