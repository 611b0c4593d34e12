//! The wire between command, registrar and agents: HTTP types and their client, who is who by mutual TLS, joining,
//! the server that faces the network, and limits of what is downloaded from it.
//!
//! Map: [`api`] is what goes over the wire, [`identity`] who speaks and what they may do, [`enrolment`] how one joins
//! and stays, [`server`] the server, [`download_limits`] the limits of downloads.

pub mod api;
pub mod download_limits;
pub mod enrolment;
pub mod identity;
pub mod server;
