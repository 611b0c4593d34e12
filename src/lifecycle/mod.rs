//! How a daemon starts once, and ends in order.

mod instance;
mod listen;
mod signals;

pub use instance::{InstanceError, InstanceLock};
pub use listen::{ListenError, bind_unix, shut_down_within};
pub use signals::shutdown_on_signal;
