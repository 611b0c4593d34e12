//! What libvirt's VMs have of boot caches, whoever made their disks: `bootstash hook libvirt`, which libvirt calls as a VM
//! starts and ends, and `bootstash doctor libvirt`.
//!
//! A domain's XML is parsed ([`domain`]), its disks are looked at ([`disk_file`]), what to do is decided ([`plan`]), and done:
//! before a start ([`prepare`]), after an end ([`release`]).
//!
//! Promises: the hook never fails, and takes no more than [`hook::WHOLE`]; what is in doubt stays as it is, and one line
//! says why. Each step can be the last: killed at any moment, it leaves a VM that starts. libvirt is not called.

pub(super) mod arguments;
mod disk_file;
pub(super) mod doctor;
mod domain;
pub(super) mod hook;
mod plan;
mod prepare;
mod release;
#[cfg(test)]
mod samples;

/// The file that turns the hook off for all domains of this host.
const OFF: &str = "/etc/bootstash/libvirt-hook.off";
