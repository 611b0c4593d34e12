//! The storage node's service: registers images and publishes the volume.
//!
//! `register` takes an image through its steps, `capture` boots it, `volume` imports, snapshots,
//! publishes and collects, `http` is asked by operators and nodes.

pub mod assembly;
pub mod ca;
pub mod capture;
pub mod daemon;
pub mod download_limits;
mod hosts;
pub mod http;
pub mod job;
pub mod layout;
pub mod metrics;
pub mod multicast;
pub mod nodes;
pub mod peers;
pub mod register;
pub mod volume;
