//! What the volume's owner asks of QEMU.

use async_trait::async_trait;
use bootstash_base::impersonate::ActAs;
use bootstash_qemu::{NewOverlay, OverlayError, Qemu};
use std::fmt::Debug;

/// Makes overlays.
#[async_trait]
pub trait OverlayMaker: Debug + Send + Sync {
    /// Makes an overlay with the rights of whoever asked. On an error nothing is left, and what was at its path is
    /// untouched.
    async fn create(&self, act_as: &ActAs, overlay: NewOverlay<'_>) -> Result<(), OverlayError>;
}

#[async_trait]
impl OverlayMaker for Qemu {
    async fn create(&self, act_as: &ActAs, overlay: NewOverlay<'_>) -> Result<(), OverlayError> {
        self.create_overlay_with(act_as, overlay).await
    }
}
