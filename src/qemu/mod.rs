//! The only door to QEMU: look at an image, boot a machine, make an overlay, check a cache.
//!
//! Promises: every program runs with a deadline, limits on memory and bounded output, and ends with
//! the value or future that owns it, also when that is dropped. Images are hostile: what their
//! headers name is never opened unless the operation says so.

mod error;
mod find;
mod header;
mod inspect;
mod overlay;
mod run;
mod verify;

pub use error::{CheckError, CompareError, FindError, InspectError, OverlayError, QemuFailure};
pub use find::Qemu;
pub use inspect::Inspected;
