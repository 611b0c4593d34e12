//! What a node tells the registrar of what it offers.

use super::PeerCache;
use bootstash_net::api::PeerOffer;

/// Where this node serves, and what.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The port.
    pub port: u16,
    /// `host:port`, where the registrar cannot know it.
    pub advertise: Option<String>,
    /// The deltas.
    pub cache: PeerCache,
}

impl Offer {
    /// As it is now.
    pub fn now(&self) -> PeerOffer {
        PeerOffer { port: self.port, advertise: self.advertise.clone(), holds: self.cache.holds() }
    }
}
