//! The manifest of what was captured or adopted.

use crate::capture::Captured;
use bootstash::catalog::{Manifest, Source};
use bootstash::clock;
use bootstash::names::ImageName;
use bootstash::qemu::Accelerator;

/// What will lie beside the cache.
pub(super) fn manifest(name: ImageName, source: Source, captured: Captured) -> Manifest {
    Manifest {
        version: Manifest::VERSION,
        name,
        source,
        cache: captured.facts,
        boots: captured.boots,
        confidence: captured.confidence,
        accelerator: captured.accelerator.map_or("none", Accelerator::as_str).to_owned(),
        registered: clock::now(),
    }
}
