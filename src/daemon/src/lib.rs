//! What both daemons share: configuration files, logs and metrics, starting once and ending in order.

pub mod config;
pub mod drain;
pub mod instance;
pub mod service_manager;
pub mod signals;
pub mod tcp_listener;
pub mod telemetry;
pub mod unix_socket;
