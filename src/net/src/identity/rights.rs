//! What each may do. Pure: one table.

use super::{Identity, Serial};
use bootstash_base::names::NodeName;

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// One with a certificate that counts.
    Member {
        /// Who.
        identity: Identity,
        /// With which certificate.
        serial: Serial,
    },
    /// Anybody.
    Stranger,
}

/// What somebody would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// Trade a token for a certificate.
    Join,
    /// Have one's certificate renewed.
    Renew,
    /// Read the log of snapshots, deltas and whole volumes.
    Follow,
    /// Report on a node.
    Report(NodeName),
    /// Register, deregister, list, collect, invite, expel.
    Operate,
    /// Read metrics.
    Scrape,
    /// Take a node's deltas, or its volume.
    TakeFromPeer,
}

impl Caller {
    /// Its identity, where it has one.
    pub fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Member { identity, .. } => Some(identity),
            Self::Stranger => None,
        }
    }

    /// The node it is, where it is one.
    pub fn node(&self) -> Option<&NodeName> {
        match self.identity() {
            Some(Identity::Node(node)) => Some(node),
            _ => None,
        }
    }

    /// Whether it may.
    pub fn may(&self, right: &Right) -> bool {
        use Identity::{Monitor, Node, Operator, Registrar};
        let Some(identity) = self.identity() else { return *right == Right::Join };
        match (right, identity) {
            (Right::Join | Right::Renew, _)
            | (Right::Follow, Node(_))
            | (Right::Operate, Operator(_))
            | (Right::Scrape, Operator(_) | Monitor(_))
            | (Right::TakeFromPeer, Node(_) | Registrar) => true,
            (Right::Report(of), Node(node)) => of == node,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(text: &str) -> Caller {
        match text {
            "stranger" => Caller::Stranger,
            text => Caller::Member { identity: text.parse().unwrap(), serial: Serial::of(&[1]) },
        }
    }

    #[test]
    fn the_whole_table() {
        let report = |node: &str| Right::Report(node.parse().unwrap());
        let rights = [
            (Right::Join, "stranger registrar node:c1 operator:ada monitor:prom"),
            (Right::Renew, "registrar node:c1 operator:ada monitor:prom"),
            (Right::Follow, "node:c1"),
            (report("c1"), "node:c1"),
            (report("c2"), ""),
            (Right::Operate, "operator:ada"),
            (Right::Scrape, "operator:ada monitor:prom"),
            (Right::TakeFromPeer, "registrar node:c1"),
        ];
        for (right, wanted) in rights {
            let all = ["stranger", "registrar", "node:c1", "operator:ada", "monitor:prom"];
            let may: Vec<_> = all.into_iter().filter(|text| caller(text).may(&right)).collect();
            assert_eq!(may.join(" "), wanted, "{right:?}");
        }
    }
}
