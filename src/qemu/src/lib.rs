//! The only interface to QEMU: look at an image, a cache or an overlay, boot a machine, make an overlay
//! or chain it onto another file, check a cache.
//!
//! Promises: every program runs with a deadline, limits on memory and bounded output, and ends with
//! the value or future that owns it, also when that is dropped. Images are hostile: what their
//! headers name is never opened unless the operation says so; whatever interprets them or runs them does so
//! in a process of its own, as a user of its own where we are root (`confine`, `place`, `user`).

mod accelerator;
mod confine;
mod console;
mod find;
mod firmware;
mod guest_agent;
mod in_use;
mod inspect;
mod inspect_cache;
mod inspect_error;
mod inspect_foreign;
mod machine;
mod machine_error;
mod open_image;
mod overlay;
mod place;
mod processor_time;
mod profile;
mod qmp;
mod rebase;
mod run;
mod seed;
mod served;
mod spec;
mod terminal;
mod user;
mod verify;

pub use accelerator::{Accelerator, AcceleratorChoice, AcceleratorError};
pub use console::{ConsoleText, Fatal};
pub use find::{FindError, Qemu};
pub use firmware::FirmwareError;
pub use in_use::InUse;
pub use inspect_cache::{InspectCacheError, Unfit};
pub use inspect_error::InspectError;
pub use machine::{DiskTraffic, Machine, MachineEnd, MachineEvent};
pub use machine_error::MachineError;
pub use open_image::OpenDiskError;
pub use overlay::{NewOverlay, OverlayError};
pub use place::Place;
pub use profile::{HardwareProfile, HardwareProfiles, ProfilesError, UnknownProfile};
pub use rebase::{Backing, RebaseError};
pub use run::QemuFailure;
pub use spec::{ConsoleSpec, DiskChain, MachineSpec};
pub use terminal::{ConsoleEnd, ConsoleError};
pub use verify::{CheckError, CompareError};
