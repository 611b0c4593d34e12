//! How a daemon starts once, and ends in order.

mod drain;
mod instance;
mod kill_point;
mod signals;
mod socket;
mod state_file;

pub use drain::shut_down_within;
pub use instance::{InstanceError, InstanceLock};
pub use kill_point::{KILL_AT_VARIABLE, KillPoint, REACHED, kill_point};
pub use signals::{on_hangup, shutdown_on_signal};
pub use socket::{ListenError, listen};
pub use state_file::{replace_file, replace_secret_file, sweep_files};
