//! DownloadLimits other nodes: the deltas this one applied, and its whole volume for a registrar that lost its own.
//!
//! Promises: reads only; only deltas that were verified and applied are handed out, and who takes one
//! verifies it again; never more at once, nor faster, than configured.

mod offer;
mod serve;
mod shelf;

pub use offer::Offer;
pub use serve::{PeerSite, routes};
pub use shelf::Shelf;
