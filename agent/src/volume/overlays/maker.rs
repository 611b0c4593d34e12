//! What the volume's owner asks of QEMU.

use async_trait::async_trait;
use bootstash_base::impersonate::ActAs;
use bootstash_qemu::{OverlayError, Qemu};
use std::fmt::Debug;
use std::path::Path;

/// Makes overlays.
#[async_trait]
pub trait OverlayMaker: Debug + Send + Sync {
    /// Makes an overlay at `path` that chains onto `backing`, with the rights of whoever asked. On an error
    /// nothing is left, and what was at `path` is untouched.
    async fn create(
        &self,
        act_as: &ActAs,
        path: &Path,
        backing: &Path,
        virtual_size_bytes: u64,
    ) -> Result<(), OverlayError>;
}

#[async_trait]
impl OverlayMaker for Qemu {
    async fn create(
        &self,
        act_as: &ActAs,
        path: &Path,
        backing: &Path,
        virtual_size_bytes: u64,
    ) -> Result<(), OverlayError> {
        self.create_overlay_with(act_as, path, backing, virtual_size_bytes).await
    }
}
