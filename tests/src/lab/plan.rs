//! What a lab is to be like, and the configurations of its daemons.

use super::{Lab, Program, network};
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use toml::{Table, Value};

/// The id of the lab that `lab up` makes.
pub const STANDING_ID: &str = "lab";
pub(super) const REGISTRAR_PORT: u16 = 7430;
const DEFAULT_POOL_BYTES: u64 = 4 << 30;

/// A lab to build.
#[derive(Clone, Debug)]
pub struct LabPlan {
    /// Its name among the labs of this machine.
    pub id: String,
    /// How many compute nodes.
    pub nodes: usize,
    /// Whether it outlives its builder.
    pub stays: bool,
    /// The directory that every host sees as `/srv/images`.
    pub images_dir: PathBuf,
    /// Size of each host's pool; its file is sparse.
    pub pool_bytes: u64,
    /// More of the registrar's configuration.
    pub registrar: Table,
    /// More of every agent's configuration.
    pub agent: Table,
}

impl LabPlan {
    /// A lab that ends with its builder, with the images of `make images`.
    pub fn new(nodes: usize) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self {
            id: format!("t{}-{number}", std::process::id()),
            nodes,
            stays: false,
            images_dir: images_cache(),
            pool_bytes: DEFAULT_POOL_BYTES,
            registrar: Table::new(),
            agent: Table::new(),
        }
    }

    /// The one lab that a person keeps running.
    pub fn standing(nodes: usize) -> Self {
        Self { id: STANDING_ID.to_owned(), stays: true, ..Self::new(nodes) }
    }

    /// With this directory of images.
    pub fn images_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.images_dir = dir.into();
        self
    }

    /// With pools of this size.
    pub fn pool_bytes(mut self, bytes: u64) -> Self {
        self.pool_bytes = bytes;
        self
    }

    /// With these lines in the registrar's configuration.
    ///
    /// # Errors
    /// When they are no TOML.
    pub fn registrar(mut self, lines: &str) -> Result<Self> {
        self.registrar.extend(lines.parse::<Table>().context("the registrar's lines")?);
        Ok(self)
    }

    /// With these lines in every agent's configuration.
    ///
    /// # Errors
    /// When they are no TOML.
    pub fn agent(mut self, lines: &str) -> Result<Self> {
        self.agent.extend(lines.parse::<Table>().context("the agents' lines")?);
        Ok(self)
    }

    pub(crate) fn write_configurations(&self, lab: &Lab) -> Result<()> {
        let storage = lab.storage();
        let listen = format!("{}:{REGISTRAR_PORT}", network::storage_address());
        let mut registrar = table([("dataset", storage.dataset()), ("listen", listen)]);
        registrar.extend(self.registrar.clone());
        std::fs::write(storage.outside(storage.config_path(Program::Registrar)), registrar.to_string())?;
        for node in lab.nodes() {
            let mut agent = table([("dataset", node.dataset())]);
            agent.extend(self.agent.clone());
            std::fs::write(node.outside(node.config_path(Program::Agent)), agent.to_string())?;
        }
        Ok(())
    }
}

fn table<const N: usize>(entries: [(&str, String); N]) -> Table {
    entries.into_iter().map(|(key, value)| (key.to_owned(), Value::String(value))).collect()
}

/// Where `make images` puts the guest images.
pub fn images_cache() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    cache.unwrap_or_else(|| home().join(".cache")).join("bootstash/images")
}
