//! Logs and metrics, the same for both daemons.

mod logging;

pub use logging::{LogFormat, init_logging};
