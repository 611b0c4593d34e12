//! Logs and metrics, the same for both daemons.

mod journal;
mod logging;
mod maintenance;
mod metrics;
mod process;
mod space;
mod text_format;

pub use logging::{LogFormat, init_logging};
pub use maintenance::MaintenanceMetrics;
pub use metrics::{BYTE_BUCKETS, SECOND_BUCKETS, encode, new_registry};
pub use process::resident_bytes;
pub use space::SpaceMetrics;
pub use text_format::TextFormat;
