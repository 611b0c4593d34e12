//! Writer and reader of boot caches: qcow2 version 3 with 64 KiB clusters, all metadata in front, data behind it
//! at aligned offsets in guest order, and known zeros marked as such.
//!
//! Promises: equal sets of clusters of equal content give equal files, so that caches deduplicate;
//! memory does not grow with the image, only with the number of clusters named. `imago` reads, but
//! does not serve to write: it allocates metadata as it goes, between the data.
//!
//! And of overlays, which hold nothing when they are made ([`EmptyOverlay`]).

mod backing;
pub mod header;
#[cfg(any(feature = "testing", test))]
pub mod hostile;
pub mod inspect;
mod layout;
mod overlay;
mod read;
mod runs;
mod write;

pub use backing::{OverlayHeader, read_backing, read_name};
pub use inspect::{Feature, FormatViolation};
pub use layout::{Layout, LayoutError};
pub use overlay::{EmptyOverlay, OverlayLayoutError};
pub use read::{AllocationMap, CacheFile};
pub use runs::ClusterRuns;
pub use write::write;

/// Size of a cluster, in bytes.
pub const CLUSTER_BYTES: u64 = 64 << 10;
