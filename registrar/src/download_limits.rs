//! What nodes may download, and reading it anew while the registrar runs.

use bootstash_daemon::config;
use bootstash_daemon::config::{ConfigError, RegistrarConfig, ServingConfig};
use bootstash_net::download_limits::Downloads;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The limits in force. Cheap to clone; clones share them.
#[derive(Clone, Debug)]
pub struct DownloadLimits {
    /// Lets downloads begin.
    pub downloads: Downloads,
    prefer_peers: Arc<AtomicBool>,
}

impl DownloadLimits {
    /// As configured.
    pub fn new(config: &ServingConfig) -> Self {
        let prefer_peers = Arc::new(AtomicBool::new(config.prefer_peers));
        Self { downloads: Downloads::new(config.limits()), prefer_peers }
    }

    /// As configured now.
    pub fn set(&self, config: &ServingConfig) {
        self.downloads.set(config.limits());
        self.prefer_peers.store(config.prefer_peers, Ordering::Relaxed);
    }

    /// Whether a peer is preferred also while there is room here.
    pub fn prefers_peers(&self) -> bool {
        self.prefer_peers.load(Ordering::Relaxed)
    }
}

/// Reads the configuration anew, of which the section `[serving]` counts at once.
#[derive(Debug)]
pub struct Reloader {
    file: PathBuf,
    running: RegistrarConfig,
    serving: DownloadLimits,
}

/// What reading it anew did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// The section differed, and counts as it is now.
    pub changed: bool,
    /// Something else differs from what runs, which takes a restart.
    pub needs_restart: bool,
}

impl Reloader {
    /// For a registrar that runs with `running`, read from `file`.
    pub fn new(file: PathBuf, running: RegistrarConfig, serving: DownloadLimits) -> Self {
        Self { file, running, serving }
    }

    /// Reads it.
    ///
    /// # Errors
    /// When it is not accepted; nothing changes then.
    pub fn reload(&mut self) -> Result<Reloaded, ConfigError> {
        let read = config::load_registrar(&self.file)?;
        let changed = read.serving != self.running.serving;
        self.serving.set(&read.serving);
        self.running.serving = read.serving.clone();
        Ok(Reloaded { changed, needs_restart: read != self.running })
    }

    /// Reads it, and says in the log what came of it.
    pub fn reload_and_tell(&mut self) {
        match self.reload() {
            Ok(reloaded) => {
                let (serving, changed) = (&self.running.serving, reloaded.changed);
                tracing::info!(file = %self.file.display(), changed, ?serving, "configuration read anew");
                if reloaded.needs_restart {
                    tracing::warn!("the configuration differs outside [serving], too; that takes a restart");
                }
            }
            Err(error) => {
                let error = bootstash_base::error::Chain(&error).to_string();
                tracing::error!(error, "the configuration is not accepted; all stays as it was");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(file: &std::path::Path, text: &str) {
        std::fs::write(file, format!("dataset = \"tank/b\"\n{text}")).unwrap();
    }

    #[test]
    fn the_section_counts_at_once_and_a_bad_file_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("registrar.toml");
        write(&file, "");
        let running = config::load_registrar(&file).unwrap();
        let serving = DownloadLimits::new(&running.serving);
        let mut reloader = Reloader::new(file.clone(), running, serving.clone());
        let reloaded = |changed, needs_restart| Reloaded { changed, needs_restart };
        assert_eq!(reloader.reload().unwrap(), reloaded(false, false));

        write(&file, "[serving]\nrate_bytes_per_second = 5000000\nprefer_peers = true");
        assert_eq!(reloader.reload().unwrap(), reloaded(true, false));
        let rate = |serving: &DownloadLimits| serving.downloads.limits().rate_bytes_per_second.map(u64::from);
        assert_eq!((rate(&serving), serving.prefers_peers()), (Some(5_000_000), true));

        write(&file, "[serving]\nrate_bytes_per_second = 1");
        let error = bootstash_base::error::Chain(&reloader.reload().unwrap_err()).to_string();
        assert!(error.contains("serving.rate_bytes_per_second = 1"), "{error}");
        assert_eq!((rate(&serving), serving.prefers_peers()), (Some(5_000_000), true));

        write(&file, "window = \"1h\"\n[serving]\ndownloads = 4");
        assert_eq!(reloader.reload().unwrap(), reloaded(true, true));
        assert_eq!((rate(&serving), serving.downloads.limits().downloads), (None, 4));
    }
}
