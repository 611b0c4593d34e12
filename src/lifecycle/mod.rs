//! How a daemon starts once, and ends in order.

mod instance;
mod signals;

pub use instance::{InstanceError, InstanceLock};
pub use signals::shutdown_on_signal;
