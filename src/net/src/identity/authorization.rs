//! What each may do. Pure: one table.

use super::{Identity, Serial};
use bootstash_base::names::NodeName;

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// One with a certificate that counts.
    Member {
        /// Role and name, by the certificate.
        identity: Identity,
        /// With which certificate.
        serial: Serial,
    },
    /// Somebody who showed no certificate.
    Unauthenticated,
}

/// What somebody would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Trade a token for a certificate.
    Join,
    /// Have one's certificate renewed.
    Renew,
    /// Give one's certificates back.
    Leave,
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

impl Principal {
    /// Its identity, where it has one.
    pub fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Member { identity, .. } => Some(identity),
            Self::Unauthenticated => None,
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
    pub fn may(&self, permission: &Permission) -> bool {
        use Identity::{Monitor, Node, Operator, Registrar};
        let Some(identity) = self.identity() else { return *permission == Permission::Join };
        match (permission, identity) {
            (Permission::Join | Permission::Renew, _)
            | (Permission::Leave, Node(_) | Operator(_) | Monitor(_))
            | (Permission::Follow, Node(_))
            | (Permission::Operate, Operator(_))
            | (Permission::Scrape, Operator(_) | Monitor(_))
            | (Permission::TakeFromPeer, Node(_) | Registrar) => true,
            (Permission::Report(of), Node(node)) => of == node,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(text: &str) -> Principal {
        match text {
            "stranger" => Principal::Unauthenticated,
            text => Principal::Member { identity: text.parse().unwrap(), serial: Serial::of(&[1]) },
        }
    }

    #[test]
    fn the_whole_table() {
        let report = |node: &str| Permission::Report(node.parse().unwrap());
        let rights = [
            (Permission::Join, "stranger registrar node:c1 operator:ada monitor:prom"),
            (Permission::Renew, "registrar node:c1 operator:ada monitor:prom"),
            (Permission::Leave, "node:c1 operator:ada monitor:prom"),
            (Permission::Follow, "node:c1"),
            (report("c1"), "node:c1"),
            (report("c2"), ""),
            (Permission::Operate, "operator:ada"),
            (Permission::Scrape, "operator:ada monitor:prom"),
            (Permission::TakeFromPeer, "registrar node:c1"),
        ];
        for (permission, wanted) in rights {
            let all = ["stranger", "registrar", "node:c1", "operator:ada", "monitor:prom"];
            let may: Vec<_> = all.into_iter().filter(|text| caller(text).may(&permission)).collect();
            assert_eq!(may.join(" "), wanted, "{permission:?}");
        }
    }
}
