//! The lab of hosts on one machine, and what the tests on real parts share.

pub mod contract;
pub mod lab;
