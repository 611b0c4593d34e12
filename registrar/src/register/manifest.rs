//! The manifest of what was captured or adopted.

use crate::capture::Captured;
use bootstash_base::clock;
use bootstash_base::names::ImageName;
use bootstash_delta::catalog::Manifest;
use bootstash_disk::Source;
use bootstash_qemu::Accelerator;

/// What will lie beside the cache.
pub(super) fn manifest(name: ImageName, mut source: Source, captured: Captured) -> Manifest {
    source.identity.content = captured.content;
    Manifest {
        version: Manifest::VERSION,
        name,
        source,
        cache: captured.facts,
        boots: captured.boots,
        unbooted: captured.unbooted,
        confidence: captured.confidence,
        accelerator: captured.accelerator.map_or("none", Accelerator::as_str).to_owned(),
        seed: captured.seed,
        boots_to_follow: captured.boots_to_follow,
        registered: clock::now(),
    }
}
