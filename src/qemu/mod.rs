//! The only door to QEMU: look at an image, a cache or an overlay, boot a machine, make an overlay,
//! check a cache.
//!
//! Promises: every program runs with a deadline, limits on memory and bounded output, and ends with
//! the value or future that owns it, also when that is dropped. Images are hostile: what their
//! headers name is never opened unless the operation says so.

mod accelerator;
mod backing;
mod console;
mod error;
mod find;
mod guest_agent;
mod header;
mod inspect;
mod inspect_cache;
mod machine;
mod overlay;
mod qmp;
mod run;
mod sockets;
mod spec;
mod terminal;
mod verify;

pub use accelerator::Accelerator;
pub use backing::{Backed, read_backing};
pub use console::ConsoleText;
pub use error::{
    AcceleratorError, CheckError, CompareError, ConsoleError, FindError, InspectError, MachineError,
    OverlayError, QemuFailure,
};
pub use find::Qemu;
pub use inspect_cache::{InspectCacheError, Unfit};
pub use machine::{Machine, MachineEnd};
pub use sockets::SocketDir;
pub use spec::{ConsoleSpec, DiskChain, MachineSpec};
pub use terminal::ConsoleEnd;
