//! OpenZFS on a machine that can load no kernel module: QEMU guests with a kernel that has it, whose
//! root is this machine's own (by 9p, read-only, with a layer in memory over it), so that what was
//! compiled here runs there. `tests/ground/openzfs.sh` makes what they boot from.
//!
//! Promises: a guest ends with its [`Guest`], or with the process that holds it; nothing of it
//! touches this machine's network or files but its own folder.

mod guest;
mod init;
mod machine;
mod serial_protocol;

pub use guest::{Guest, Told};
pub use init::run as run_init;
pub use machine::{Cable, GuestOptions, MadeGuest};
