//! Register: takes a job through its steps, and cleans up after it.

#[cfg(test)]
mod cancel_tests;
mod cancels;
mod capturer;
mod doubt;
mod existing_image;
mod failure;
mod manifest;
mod other_choices;
mod runner;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub(crate) mod waiting;

pub use capturer::{Capturer, QemuCapturer};
pub use doubt::{DoubtError, refuse_doubt};
pub use existing_image::{BaseComparison, ExistingImageError, look_up};
pub use failure::StepFailure;
pub use other_choices::{OtherChoicesError, refuse_other_choices};
pub use runner::Runner;
