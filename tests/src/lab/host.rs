//! One host of a lab: a place to run commands in, with a ZFS of its own.

use super::daemon::{Daemon, Program};
use super::namespaces::Namespaces;
use super::network::{self, Traffic};
use super::programs;
use super::record::HostRecord;
use super::run::{Call, Finished};
use anyhow::{Context, Result};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// A host that runs.
#[derive(Debug)]
pub struct Host {
    pub(super) record: HostRecord,
    /// What the lab keeps for it: its private directories, its pool's file, its logs.
    pub(super) dir: PathBuf,
    pub(super) init: Pid,
    pub(super) daemons: Mutex<BTreeMap<Program, Daemon>>,
}

impl Host {
    pub(super) fn new(record: HostRecord, dir: PathBuf) -> Result<Self> {
        let init = record.init.with_context(|| format!("{} was never started", record.name))?.pid();
        Ok(Self { record, dir, init, daemons: Mutex::default() })
    }

    /// The host name.
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// The IP address on the network of the lab.
    pub fn address(&self) -> &str {
        self.record.address.as_deref().unwrap_or_default()
    }

    /// The name of its ZFS pool.
    pub fn pool(&self) -> &str {
        self.record.pool.as_deref().unwrap_or_default()
    }

    /// The file system that its daemon keeps everything below.
    pub fn dataset(&self) -> String {
        format!("{}/bootstash", self.pool())
    }

    /// Where the lab keeps its files; seen under this path from inside the host too.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A file of the host as seen from outside.
    pub fn outside(&self, inside: impl AsRef<Path>) -> PathBuf {
        let inside = inside.as_ref();
        Path::new("/proc")
            .join(self.init.to_string())
            .join("root")
            .join(inside.strip_prefix("/").unwrap_or(inside))
    }

    /// A program to run in it. Our own programs are found beside the running one.
    pub fn command(&self, program: &str, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Call {
        Call::new(programs::path(program)).args(args).within(Namespaces::Host(self.init))
    }

    /// Runs `bootstash` in it.
    ///
    /// # Errors
    /// When it cannot be run or does not end.
    pub fn bootstash(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Finished> {
        self.command("bootstash", args).finish()
    }

    /// What `bootstash … --json` says in it.
    ///
    /// # Errors
    /// When the command fails or prints something else.
    pub fn ask<T: DeserializeOwned>(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<T> {
        self.command("bootstash", args).args(["--json"]).finish()?.json()
    }

    /// Its interface counters.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn traffic(&self) -> Result<Traffic> {
        network::traffic(self.init)
    }
}
