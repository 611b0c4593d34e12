//! Which nodes hold which deltas, and to which of them a download is redirected.
//!
//! Promises: no node is redirected to itself, to a node that has not been in contact lately, or to one that just had
//! many redirected to it; redirects spread evenly.

use bootstash_base::names::NodeName;
use bootstash_net::api::{MAX_ADVERTISED, PeerAdvertisement, routes};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// An agent in step asks for news at least twice in this time.
const CONTACT_TIMEOUT: Duration = Duration::from_secs(90);
/// The most nodes redirected to one peer within [`REDIRECT_WINDOW`]; a peer that is busy says so itself.
const MAX_REDIRECTS: usize = 4;
const REDIRECT_WINDOW: Duration = Duration::from_secs(4);
/// More peers than this are not remembered.
const MAX_PEERS: usize = 10_000;

/// The peers, as they reported. In memory only: they report again soon.
#[derive(Debug, Default)]
pub struct Peers(Mutex<BTreeMap<NodeName, Peer>>);

#[derive(Debug)]
struct Peer {
    url: String,
    /// Only nodes on this host can be redirected there.
    loopback: bool,
    holds: HashSet<String>,
    last_contact: Instant,
    redirects: VecDeque<Instant>,
}

/// Who asks for a delta.
#[derive(Clone, Copy, Debug)]
pub struct Requester<'a> {
    /// By its certificate; none where the caller is no node.
    pub node: Option<&'a NodeName>,
    /// The address it calls from.
    pub from: IpAddr,
}

impl Peers {
    /// Takes over what a node advertises, and the URL it serves at; none where it serves nothing any more.
    pub fn update(&self, node: &NodeName, advertised: Option<(&PeerAdvertisement, &str)>, from: IpAddr) {
        let mut peers = self.0.lock();
        let Some((advertisement, url)) = advertised else {
            peers.remove(node);
            return;
        };
        let digest = |text: &&String| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let holds = advertisement.holds.iter().filter(digest).take(MAX_ADVERTISED).cloned().collect();
        let loopback = advertisement.advertise.is_none() && from.to_canonical().is_loopback();
        let redirects = peers.remove(node).map(|known| known.redirects).unwrap_or_default();
        if peers.len() < MAX_PEERS {
            let peer = Peer { url: url.to_owned(), loopback, holds, last_contact: Instant::now(), redirects };
            peers.insert(node.clone(), peer);
        }
    }

    /// Sends nobody to a node any more.
    pub fn remove(&self, node: &NodeName) {
        self.0.lock().remove(node);
    }

    /// Notes that a node has just been in contact.
    pub fn contact(&self, node: &NodeName) {
        if let Some(peer) = self.0.lock().get_mut(node) {
            peer.last_contact = Instant::now();
        }
    }

    /// The URL to which a requester is redirected for a delta; none where no peer has it, or all that have are busy.
    pub fn redirect(&self, requester: Requester<'_>, digest: &str) -> Option<String> {
        let (mut peers, now) = (self.0.lock(), Instant::now());
        let chosen = choose(&peers, requester, digest, now)?.clone();
        let peer = peers.get_mut(&chosen)?;
        peer.redirects.retain(|at| now.saturating_duration_since(*at) < REDIRECT_WINDOW);
        peer.redirects.push_back(now);
        Some(format!("{}{}/{digest}", peer.url, routes::DELTAS))
    }
}

impl Peer {
    fn recent_redirects(&self, now: Instant) -> usize {
        self.redirects.iter().filter(|at| now.saturating_duration_since(**at) < REDIRECT_WINDOW).count()
    }

    fn can_serve(&self, requester: Requester<'_>, digest: &str, now: Instant) -> bool {
        let reached = !self.loopback || requester.from.to_canonical().is_loopback();
        let lives = now.saturating_duration_since(self.last_contact) < CONTACT_TIMEOUT;
        reached && lives && self.holds.contains(digest) && self.recent_redirects(now) < MAX_REDIRECTS
    }
}

/// The peer with the fewest recent redirects, and among those the one whose last is longest ago.
fn choose<'a>(
    peers: &'a BTreeMap<NodeName, Peer>,
    requester: Requester<'_>,
    digest: &str,
    now: Instant,
) -> Option<&'a NodeName> {
    let others = peers.iter().filter(|(node, _)| Some(*node) != requester.node);
    let able = others.filter(|(_, peer)| peer.can_serve(requester, digest, now));
    able.min_by_key(|(_, peer)| (peer.recent_redirects(now), peer.redirects.back().copied()))
        .map(|(node, _)| node)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn name(text: &str) -> NodeName {
        text.parse().unwrap()
    }

    fn digest(byte: &str) -> String {
        byte.repeat(32)
    }

    fn peer(holds: &str, last_contact: Instant) -> Peer {
        let url = "http://10.0.0.9:1".to_owned();
        Peer {
            url,
            loopback: false,
            holds: HashSet::from([digest(holds)]),
            last_contact,
            redirects: VecDeque::new(),
        }
    }

    fn chosen(peers: &BTreeMap<NodeName, Peer>, requester: &str, now: Instant) -> Option<String> {
        let requester = Requester { node: Some(&name(requester)), from: HERE };
        choose(peers, requester, &digest("ab"), now).map(ToString::to_string)
    }

    #[test]
    fn only_another_that_has_it_and_was_in_contact_lately() {
        let start = Instant::now();
        let mut peers = BTreeMap::from([
            (name("asker"), peer("ab", start)),
            (name("other"), peer("cd", start)),
            (name("right"), peer("ab", start)),
        ]);
        assert_eq!(chosen(&peers, "asker", start).unwrap(), "right");
        assert_eq!(chosen(&peers, "right", start).unwrap(), "asker");
        assert_eq!(chosen(&peers, "asker", start + CONTACT_TIMEOUT), None);
        peers.get_mut(&name("right")).unwrap().loopback = true;
        assert_eq!(chosen(&peers, "asker", start), None);
        let local = Requester { node: None, from: LOCAL };
        assert!(choose(&peers, local, &digest("ab"), start).is_some());
    }

    #[test]
    fn redirects_spread_evenly_and_are_limited_for_each_peer() {
        let start = Instant::now();
        let mut peers: BTreeMap<_, _> =
            (1..=5).map(|number| (name(&format!("c{number}")), peer("ab", start))).collect();
        let mut counts = BTreeMap::<String, usize>::new();
        let mut now = start;
        while let Some(chosen) = chosen(&peers, "asker", now) {
            peers.get_mut(&name(&chosen)).unwrap().redirects.push_back(now);
            *counts.entry(chosen).or_default() += 1;
            now += Duration::from_millis(1);
            let (least, most) = (counts.values().min(), counts.values().max());
            assert!(counts.len() < 5 || most.unwrap() - least.unwrap() <= 1, "{counts:?}");
        }
        assert_eq!(counts.into_values().collect::<Vec<_>>(), [MAX_REDIRECTS; 5]);
        assert!(chosen(&peers, "asker", now + REDIRECT_WINDOW).is_some());
    }

    #[test]
    fn a_requester_is_redirected_to_the_delta_and_to_no_peer_that_stopped_serving() {
        let peers = Peers::default();
        let holds = vec![digest("ab"), "../../etc/passwd".to_owned()];
        let advertisement = PeerAdvertisement { port: 7, advertise: None, holds };
        let url = advertisement.url(HERE).unwrap();
        peers.update(&name("c1"), Some((&advertisement, &url)), HERE);
        let requester = Requester { node: None, from: HERE };
        let location = format!("https://10.0.0.1:7/v1/deltas/{}", digest("ab"));
        assert_eq!(peers.redirect(requester, &digest("ab")), Some(location));
        assert_eq!(peers.redirect(requester, "../../etc/passwd"), None);
        peers.update(&name("c1"), None, HERE);
        assert_eq!(peers.redirect(requester, &digest("ab")), None);
    }
}
