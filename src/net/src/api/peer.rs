//! Peers: nodes that keep the deltas they applied, and serve them to others.

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// The most deltas a node advertises, newest first: a report is to stay small.
pub const MAX_ADVERTISED: usize = 256;

/// What a node tells the registrar of the deltas it serves to other nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerAdvertisement {
    /// The port it serves at; the registrar sees from where it speaks.
    pub port: u16,
    /// `host:port` instead, where others do not reach it under the address it speaks from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertise: Option<String>,
    /// Digests of the deltas it has.
    #[serde(default)]
    pub holds: Vec<String>,
}

impl PeerAdvertisement {
    /// Its URL, for one that speaks from `from`; none where what it advertises is no host and port.
    pub fn url(&self, from: IpAddr) -> Option<String> {
        let authority = match &self.advertise {
            Some(advertised) => advertised.clone(),
            None => SocketAddr::new(from.to_canonical(), self.port).to_string(),
        };
        is_authority(&authority).then(|| format!("https://{authority}"))
    }
}

/// Whether a text is a host and a port, and no more.
pub fn is_authority(text: &str) -> bool {
    // A URL's parser passes over blanks, tabs and an empty user name.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    let Some(url) = reqwest::Url::parse(&format!("http://{text}")).ok().filter(|_| text.bytes().all(plain))
    else {
        return false;
    };
    let port = text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0));
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    bare && port && !text.ends_with('/') && url.username().is_empty() && url.password().is_none()
}

/// Says that what came as a delta is not what was announced.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeltaComplaint {
    /// The digest that was announced.
    pub digest: String,
}

/// Asks for a delta.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct DeltaQuery {
    /// Not from a peer.
    #[serde(default)]
    pub direct: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_where_it_speaks_from_or_where_it_says() {
        let advertisement = |advertise: Option<&str>| PeerAdvertisement {
            port: 7432,
            advertise: advertise.map(str::to_owned),
            holds: Vec::new(),
        };
        let url = |advertise, from: &str| advertisement(advertise).url(from.parse().unwrap());
        assert_eq!(url(None, "10.0.0.5").unwrap(), "https://10.0.0.5:7432");
        assert_eq!(url(None, "::ffff:10.0.0.5").unwrap(), "https://10.0.0.5:7432");
        assert_eq!(url(None, "fd00::5").unwrap(), "https://[fd00::5]:7432");
        assert_eq!(url(Some("c17.lan:80"), "10.0.0.5").unwrap(), "https://c17.lan:80");
        for bad in [
            "c17", "c17:0", "c17:x", "c17:1/v1", "a@c17:1", "c17:1?x", "c17:1#x", "", ":1", "c 17:1",
            "@c17:1", "c\t17:1",
        ] {
            assert_eq!(url(Some(bad), "10.0.0.5"), None, "{bad}");
        }
    }
}
