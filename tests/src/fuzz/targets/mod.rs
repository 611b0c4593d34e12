//! What is tried: a row for each reader of others' bytes.

mod config;
mod delta;
mod disk_start;
mod manifest;
mod multicast;
mod names;
mod qcow2;
mod requests;
mod worlds;

use super::Reader;
use super::{bytes, json};
use fastrand::Rng;

const MIB: u64 = 1 << 20;

/// A directory in memory, where there is one: each input is a file for a moment.
fn scratch() -> std::io::Result<tempfile::TempDir> {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())
}

/// A reader of others' bytes.
#[derive(Debug)]
pub struct Target {
    /// What it is called on the command line (`TARGET=`).
    pub name: &'static str,
    /// What our own writers make of valid values; each must be accepted.
    pub(super) seeds: fn() -> Vec<Vec<u8>>,
    /// Makes an input of them.
    pub(super) mutate: fn(&mut Rng, &[Vec<u8>]) -> Vec<u8>,
    /// The reader, with what it needs.
    pub(super) open: fn() -> Reader,
    /// The most memory it may take, and besides 64 bytes for each byte of the input.
    pub(super) bound_bytes: u64,
}

/// All readers that are fuzzed.
pub const TARGETS: [Target; 13] = [
    Target {
        name: "delta-header",
        seeds: delta::headers,
        mutate: delta::mutate_header,
        open: delta::open_header,
        bound_bytes: MIB,
    },
    Target {
        name: "delta-file",
        seeds: delta::files,
        mutate: delta::mutate_header,
        open: delta::open_file,
        bound_bytes: 2 * MIB,
    },
    Target {
        name: "manifest",
        seeds: manifest::seeds,
        mutate: json::mutate,
        open: manifest::open,
        bound_bytes: MIB,
    },
    Target { name: "names", seeds: names::seeds, mutate: bytes::mutate, open: names::open, bound_bytes: MIB },
    Target {
        name: "wire",
        seeds: requests::bodies,
        mutate: json::mutate,
        open: requests::open_bodies,
        bound_bytes: MIB,
    },
    Target {
        name: "registrar",
        seeds: requests::to_registrar,
        mutate: requests::mutate,
        open: worlds::open_registrar,
        bound_bytes: 8 * MIB,
    },
    Target {
        name: "agent",
        seeds: requests::to_agent,
        mutate: requests::mutate,
        open: worlds::open_agent,
        bound_bytes: 8 * MIB,
    },
    Target {
        name: "config",
        seeds: config::seeds,
        mutate: bytes::mutate,
        open: config::open,
        bound_bytes: MIB,
    },
    Target {
        name: "disk-start",
        seeds: disk_start::seeds,
        mutate: bytes::mutate,
        open: disk_start::open,
        bound_bytes: MIB,
    },
    Target {
        name: "qcow2",
        seeds: qcow2::seeds,
        mutate: qcow2::mutate,
        open: qcow2::open,
        // imago trusts the size of a first-level table of up to 32 MiB, and reads it in one piece.
        bound_bytes: 96 * MIB,
    },
    Target {
        name: "multicast-datagrams",
        seeds: multicast::scripts,
        mutate: multicast::mutate_datagrams,
        open: multicast::open_datagrams,
        bound_bytes: MIB,
    },
    Target {
        name: "multicast-reports",
        seeds: multicast::reports,
        mutate: multicast::mutate_reports,
        open: multicast::open_reports,
        bound_bytes: MIB,
    },
    Target {
        name: "multicast-announcements",
        seeds: multicast::announcements,
        mutate: json::mutate,
        open: multicast::open_announcements,
        bound_bytes: MIB,
    },
];
