//! What a node tells the registrar of the deltas it serves to other nodes.

use super::PeerCache;
use bootstash_net::api::PeerAdvertisement;

/// Where this node serves, and what.
#[derive(Clone, Debug)]
pub struct Advertiser {
    /// The port.
    pub port: u16,
    /// `host:port`, where the registrar cannot know it.
    pub advertise: Option<String>,
    /// The deltas.
    pub cache: PeerCache,
}

impl Advertiser {
    /// As it is now.
    pub fn advertisement(&self) -> PeerAdvertisement {
        PeerAdvertisement { port: self.port, advertise: self.advertise.clone(), holds: self.cache.holds() }
    }
}
