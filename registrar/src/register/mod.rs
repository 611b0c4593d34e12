//! Register: takes a job through its steps, and cleans up after it.

mod capturer;
mod failure;
mod known;
mod manifest;
mod runner;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use capturer::{Capturer, QemuCapturer};
pub use failure::StepFailure;
pub use known::{Known, KnownError, look_up};
pub use runner::Runner;
