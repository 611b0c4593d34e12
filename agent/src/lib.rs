//! The compute node's service: keeps a copy of the volume, and chains overlays onto it.
//!
//! `volume` owns the copy and makes all changes to it, `follow` decides which and brings the data,
//! `http` answers the command and Prometheus, `run` puts them together.

pub mod directory_pattern;
pub mod enrolment;
pub mod follow;
pub mod host_id;
pub mod http;
pub mod layout;
pub mod metrics;
pub mod multicast;
pub mod peer;
pub mod run;
mod service_status;
pub mod volume;

#[cfg(test)]
mod testing;
