//! DownloadLimits what is large to many at once: how many downloads there may be, and how fast they may be
//! together. The registrar and an agent that serves its peers do it alike.
//!
//! Promises: never more downloads than the limit says; all of them together keep to the rate; limits
//! can change at any moment and count at once; a download whose reader takes nothing ends, and makes
//! room; what breaks off is seen as broken by its reader.

mod body;
mod bucket;
mod downloads;
mod stats;

pub use body::STALL;
pub use bucket::{Bucket, Claim};
pub use downloads::{Download, Downloads, Limits};
pub use stats::Kind;
