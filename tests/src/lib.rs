//! The lab of hosts on one machine, and what demo, bench and the tests with real parts share.

mod address;
pub mod authorization;
pub mod bench;
pub mod contract;
pub mod demo;
mod enrolment;
pub mod fuzz;
pub mod guest;
pub mod kill;
pub mod lab;
#[cfg(feature = "libzetta")]
pub mod libzetta;
pub mod load;
pub mod multicast;
pub mod openzfs;
mod private_zfs;
pub mod prometheus;
pub mod replication;
pub mod sim;
