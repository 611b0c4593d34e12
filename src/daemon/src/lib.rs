//! What both daemons share: configuration files, logs and metrics, starting once and ending in order.

pub mod config;
pub mod lifecycle;
pub mod telemetry;
