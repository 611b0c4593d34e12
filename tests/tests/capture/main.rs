//! The door to QEMU, the NBD export, the cache writer and the capture verb, with the real QEMU.
//! Needs QEMU, no root and no guest images: guests are boot sectors made here.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "all of this is tests")]

mod cache;
mod door;
mod export;
mod guest;
mod verb;
