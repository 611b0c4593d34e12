//! The name of this host, under which an agent reports where its file gives none.

use crate::names::NodeName;
use std::error::Error;

/// This host's name as a node name.
pub(super) fn host_name() -> Result<NodeName, Box<dyn Error + Send + Sync>> {
    let name = nix::unistd::gethostname()?;
    Ok(name.to_string_lossy().parse()?)
}
