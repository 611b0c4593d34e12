//! Logs and metrics, the same for both daemons.

mod logging;
mod metrics;
mod process;
mod space;

pub use logging::{LogFormat, init_logging};
pub use metrics::{BYTE_BUCKETS, CONTENT_TYPE, SECOND_BUCKETS, encode, new_registry};
pub use process::resident_bytes;
pub use space::SpaceMetrics;
