//! Which nodes hold which deltas, and to whom a node is sent for one.
//!
//! Promises: nobody is sent to itself, to a node not heard of lately, or to one that was just sent many;
//! who is sent where spreads evenly.

use bootstash_base::names::NodeName;
use bootstash_net::api::{MOST_HELD, PeerAdvertisement, routes};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// An agent in step asks for news at least twice in this time.
const HEARD_WITHIN: Duration = Duration::from_secs(90);
/// So many nodes are sent to one peer within [`SENT_WITHIN`]; a peer with enough to do says so itself.
const MOST_SENT: usize = 4;
const SENT_WITHIN: Duration = Duration::from_secs(4);
/// More peers than this are not remembered.
const MAX_PEERS: usize = 10_000;

/// The peers, as they reported. In memory only: they report again soon.
#[derive(Debug, Default)]
pub struct Peers(Mutex<BTreeMap<NodeName, Peer>>);

#[derive(Debug)]
struct Peer {
    url: String,
    /// Only nodes on this host can be sent there.
    loopback: bool,
    holds: HashSet<String>,
    heard: Instant,
    sent: VecDeque<Instant>,
}

/// Who asks for what.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The node.
    pub node: Option<&'a NodeName>,
    /// From where.
    pub from: IpAddr,
}

impl Peers {
    /// Notes what a node serves, or that it serves nothing any more. `url`: where.
    pub fn note(&self, node: &NodeName, advertised: Option<(&PeerAdvertisement, &str)>, from: IpAddr) {
        let mut peers = self.lock();
        let Some((advertisement, url)) = advertised else {
            peers.remove(node);
            return;
        };
        let digest = |text: &&String| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let holds = advertisement.holds.iter().filter(digest).take(MOST_HELD).cloned().collect();
        let loopback = advertisement.advertise.is_none() && from.to_canonical().is_loopback();
        let sent = peers.remove(node).map(|known| known.sent).unwrap_or_default();
        if peers.len() < MAX_PEERS {
            let peer = Peer { url: url.to_owned(), loopback, holds, heard: Instant::now(), sent };
            peers.insert(node.clone(), peer);
        }
    }

    /// Notes that a node spoke.
    pub fn contact(&self, node: &NodeName) {
        if let Some(peer) = self.lock().get_mut(node) {
            peer.heard = Instant::now();
        }
    }

    /// Where the asker is sent for a delta; none where no peer has it, or all that have are busy.
    pub fn send(&self, asker: Asker<'_>, digest: &str) -> Option<String> {
        let (mut peers, now) = (self.lock(), Instant::now());
        let chosen = choose(&peers, asker, digest, now)?.clone();
        let peer = peers.get_mut(&chosen)?;
        peer.sent.retain(|at| now.saturating_duration_since(*at) < SENT_WITHIN);
        peer.sent.push_back(now);
        Some(format!("{}{}/{digest}", peer.url, routes::DELTAS))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeName, Peer>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peer {
    fn recently_sent(&self, now: Instant) -> usize {
        self.sent.iter().filter(|at| now.saturating_duration_since(**at) < SENT_WITHIN).count()
    }

    fn serves(&self, asker: Asker<'_>, digest: &str, now: Instant) -> bool {
        let reached = !self.loopback || asker.from.to_canonical().is_loopback();
        let lives = now.saturating_duration_since(self.heard) < HEARD_WITHIN;
        reached && lives && self.holds.contains(digest) && self.recently_sent(now) < MOST_SENT
    }
}

/// The peer that was sent the fewest lately, and among those the one whose last is longest ago.
fn choose<'a>(
    peers: &'a BTreeMap<NodeName, Peer>,
    asker: Asker<'_>,
    digest: &str,
    now: Instant,
) -> Option<&'a NodeName> {
    let others = peers.iter().filter(|(node, _)| Some(*node) != asker.node);
    let able = others.filter(|(_, peer)| peer.serves(asker, digest, now));
    able.min_by_key(|(_, peer)| (peer.recently_sent(now), peer.sent.back().copied())).map(|(node, _)| node)
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

    fn peer(holds: &str, heard: Instant) -> Peer {
        let url = "http://10.0.0.9:1".to_owned();
        Peer { url, loopback: false, holds: HashSet::from([digest(holds)]), heard, sent: VecDeque::new() }
    }

    fn chosen(peers: &BTreeMap<NodeName, Peer>, asker: &str, now: Instant) -> Option<String> {
        let asker = Asker { node: Some(&name(asker)), from: HERE };
        choose(peers, asker, &digest("ab"), now).map(ToString::to_string)
    }

    #[test]
    fn only_another_that_has_it_and_was_heard_of_lately() {
        let start = Instant::now();
        let mut peers = BTreeMap::from([
            (name("asker"), peer("ab", start)),
            (name("other"), peer("cd", start)),
            (name("right"), peer("ab", start)),
        ]);
        assert_eq!(chosen(&peers, "asker", start).unwrap(), "right");
        assert_eq!(chosen(&peers, "right", start).unwrap(), "asker");
        assert_eq!(chosen(&peers, "asker", start + HEARD_WITHIN), None);
        peers.get_mut(&name("right")).unwrap().loopback = true;
        assert_eq!(chosen(&peers, "asker", start), None);
        let local = Asker { node: None, from: LOCAL };
        assert!(choose(&peers, local, &digest("ab"), start).is_some());
    }

    #[test]
    fn spreads_evenly_and_leaves_each_some_peace() {
        let start = Instant::now();
        let mut peers: BTreeMap<_, _> =
            (1..=5).map(|number| (name(&format!("c{number}")), peer("ab", start))).collect();
        let mut counts = BTreeMap::<String, usize>::new();
        let mut now = start;
        while let Some(chosen) = chosen(&peers, "asker", now) {
            peers.get_mut(&name(&chosen)).unwrap().sent.push_back(now);
            *counts.entry(chosen).or_default() += 1;
            now += Duration::from_millis(1);
            let (least, most) = (counts.values().min(), counts.values().max());
            assert!(counts.len() < 5 || most.unwrap() - least.unwrap() <= 1, "{counts:?}");
        }
        assert_eq!(counts.into_values().collect::<Vec<_>>(), [MOST_SENT; 5]);
        assert!(chosen(&peers, "asker", now + SENT_WITHIN).is_some());
    }

    #[test]
    fn an_asker_is_sent_to_the_delta_and_nobody_to_one_that_serves_no_more() {
        let peers = Peers::default();
        let holds = vec![digest("ab"), "../../etc/passwd".to_owned()];
        let advertisement = PeerAdvertisement { port: 7, advertise: None, holds };
        let url = advertisement.url(HERE).unwrap();
        peers.note(&name("c1"), Some((&advertisement, &url)), HERE);
        let asker = Asker { node: None, from: HERE };
        let location = format!("https://10.0.0.1:7/v1/deltas/{}", digest("ab"));
        assert_eq!(peers.send(asker, &digest("ab")), Some(location));
        assert_eq!(peers.send(asker, "../../etc/passwd"), None);
        peers.note(&name("c1"), None, HERE);
        assert_eq!(peers.send(asker, &digest("ab")), None);
    }
}
