//! The whole, end to end: real daemons, real ZFS, real guests, on the hosts of a lab. Needs root, and
//! one test at a time (`--test-threads=1`), as guests are emulated and the machine may be small.
#![allow(clippy::unwrap_used, reason = "clippy knows only test functions, not their helpers")]

mod agents;
mod bad_images;
mod bad_input;
mod collecting;
mod early;
mod end_to_end;
mod hosts;
mod metrics;
mod multicast;
mod opennebula;
mod registrars;
mod running;
mod secrets;
mod setting;
mod socket_group;
mod zfs_hangs;
