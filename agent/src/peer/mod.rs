//! Serving other nodes: the deltas this one applied, and its whole volume for a registrar that lost its own.
//!
//! Promises: reads only; only deltas that were verified and applied are handed out, and who fetches one
//! verifies it again; never more at once, nor faster, than configured.

mod cache;
mod offer;
mod serve;

pub use cache::PeerCache;
pub use offer::Offer;
pub use serve::{PeerSite, routes};
