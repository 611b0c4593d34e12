//! How hosts of a lab join: by invitation and token, as their operators do it.

use super::plan::REGISTRAR_PORT;
use super::{Host, Lab, Program, network};
use anyhow::Result;
use bootstash_net::api::InviteReply;

/// Where a host keeps the key and certificate of its Prometheus.
const MONITOR: &str = "/var/lib/bootstash/monitor";

impl Lab {
    /// Makes a node a member, as its operator does; nothing where it is one.
    ///
    /// # Errors
    /// When it is not let in.
    pub fn join(&self, node: &Host) -> Result<()> {
        if node.outside("/var/lib/bootstash/agent/identity/identity.pem").exists() {
            return Ok(());
        }
        let token = self.invite("node", node.name())?;
        let config = node.config_path(Program::Agent);
        let call = node.command(Program::Agent.name(), ["--config".as_ref(), config.as_path()]);
        call.args(["join", &registrar_url(), &token]).output().map(drop)
    }

    /// What Prometheus on `host` gets from a daemon at this address: with its own key, and by another TLS
    /// than ours.
    ///
    /// # Errors
    /// When it gets nothing.
    pub fn scrape(&self, host: &Host, address: &str) -> Result<String> {
        if !host.outside(format!("{MONITOR}/identity.pem")).exists() {
            let token = self.invite("monitor", &format!("prometheus-{}", host.name()))?;
            host.command("bootstash", ["--identity", MONITOR, "join", &registrar_url(), &token]).output()?;
        }
        let (identity, ca) = (format!("{MONITOR}/identity.pem"), format!("{MONITOR}/ca.pem"));
        let (to, url) = (format!("::{address}"), "https://bootstash.internal/metrics");
        let options = ["--fail", "--silent", "--show-error", "--max-time", "20", "--cacert", &ca];
        let rest = ["--cert", &identity, "--key", &identity, "--connect-to", &to, url];
        host.command("curl", options).args(rest).output()
    }

    fn invite(&self, role: &str, name: &str) -> Result<String> {
        let reply: InviteReply = self.storage().ask([role, "invite", name])?;
        Ok(reply.token.reveal().to_owned())
    }
}

/// Where nodes reach it.
pub fn registrar_url() -> String {
    format!("https://{}", registrar_address())
}

/// Its host and port.
pub fn registrar_address() -> String {
    format!("{}:{REGISTRAR_PORT}", network::storage_address())
}
