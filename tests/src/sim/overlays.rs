//! Overlays that are no more than files; what each chains onto is remembered.

use super::host::Life;
use crate::replication::write_overlay;
use async_trait::async_trait;
use bootstash_agent::volume::OverlayMaker;
use bootstash_base::impersonate::ActAs;
use bootstash_qemu::{NewOverlay, OverlayError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const MAKE_MS: u64 = 200;

/// Makes overlays in one life of an agent.
#[derive(Debug)]
pub(super) struct SimOverlays {
    pub(super) life: Life,
    pub(super) failing: Arc<AtomicU32>,
}

#[async_trait]
impl OverlayMaker for SimOverlays {
    async fn create(&self, _: &ActAs, overlay: NewOverlay<'_>) -> Result<(), OverlayError> {
        let NewOverlay { path, backing, .. } = overlay;
        self.life.pause(0, MAKE_MS).await;
        if self.life.host.happens(4 * self.failing.load(Ordering::Relaxed)) {
            let source = io::Error::from(io::ErrorKind::PermissionDenied);
            return Err(OverlayError::Io { path: path.to_owned(), source });
        }
        self.make(path, backing).map_err(|source| OverlayError::Io { path: path.to_owned(), source })?;
        self.life.pause(0, MAKE_MS).await;
        Ok(())
    }
}

impl SimOverlays {
    fn make(&self, path: &Path, backing: &Path) -> io::Result<()> {
        let (host, model) = (&self.life.host, &self.life.host.model);
        let bytes = std::fs::read(backing)?;
        if !model.facts().captured.contains_key(&blake3::hash(&bytes)) {
            model.violated(format_args!("an overlay of {} chains onto what was never captured", host.name));
        }
        write_overlay(path, backing, 1 << 20)?;
        host.note(format_args!("overlay made"));
        model.made_overlay(&host.name, path, backing, bytes);
        Ok(())
    }
}
