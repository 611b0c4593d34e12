//! Whether a cache can be trusted: checked by QEMU, not by who wrote it.

use super::error::VerifyError;
use bootstash_disk::Source;
use bootstash_qemu::Qemu;
use std::path::Path;

/// Checks a cache's metadata, compares what it shows with its base, and makes sure that the base is
/// what was inspected.
///
/// # Errors
/// See [`VerifyError`].
pub async fn verify(qemu: &Qemu, cache: &Path, image: &Source) -> Result<(), VerifyError> {
    qemu.check(cache).await?;
    qemu.compare(cache, &image.path, image.format).await?;
    // Last, so that it covers all that was read.
    let inspected = image.clone();
    let same = tokio::task::spawn_blocking(move || inspected.identity.is_untouched(&inspected.path)).await;
    if !same.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))? {
        return Err(VerifyError::Changed { path: image.path.clone() });
    }
    Ok(())
}
