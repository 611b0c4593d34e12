//! How a daemon starts once, and ends in order.

mod drain;
mod instance;
mod signals;
mod socket;

pub use drain::shut_down_within;
pub use instance::{InstanceError, InstanceLock};
pub use signals::{on_hangup, shutdown_on_signal};
pub use socket::{ListenError, listen};
