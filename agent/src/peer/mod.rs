//! Serving other nodes: the deltas this one applied, and its whole volume for a registrar that lost its own.
//!
//! Promises: reads only; only deltas that were verified and applied are handed out, and who fetches one
//! verifies it again; never more at once, nor faster, than configured.

mod advertiser;
mod cache;
mod serve;

pub use advertiser::Advertiser;
pub use cache::PeerCache;
pub use serve::{PeerSite, routes};
