//! Which host uses a node's identity: a disk that was cloned is two hosts with one certificate.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// In bytes; ours are shorter.
const LONGEST_PART: usize = 64;

/// A host as long as it runs: what its disk says it is, and this one start of its kernel. Two hosts never have both in
/// common; a host that starts anew is another one, and the one before never comes back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostId {
    machine: String,
    boot: String,
}

/// A text is no such thing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no host; it is MACHINE.BOOT, both of letters, digits and -")]
pub struct HostIdError(String);

impl HostId {
    /// Of a machine, and of one start of it.
    ///
    /// # Errors
    /// Where one of them is not of letters, digits and `-`.
    pub fn new(machine: &str, boot: &str) -> Result<Self, HostIdError> {
        let plain = |part: &str| {
            (1..=LONGEST_PART).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        match plain(machine) && plain(boot) {
            true => Ok(Self { machine: machine.to_owned(), boot: boot.to_owned() }),
            false => Err(HostIdError(format!("{machine}.{boot}"))),
        }
    }

    /// What its disk says it is, hashed.
    pub fn machine(&self) -> &str {
        &self.machine
    }
}

impl FromStr for HostId {
    type Err = HostIdError;

    fn from_str(text: &str) -> Result<Self, HostIdError> {
        let (machine, boot) = text.split_once('.').ok_or_else(|| HostIdError(text.to_owned()))?;
        Self::new(machine, boot)
    }
}

impl TryFrom<String> for HostId {
    type Error = HostIdError;

    fn try_from(text: String) -> Result<Self, HostIdError> {
        text.parse()
    }
}

impl From<HostId> for String {
    fn from(host: HostId) -> Self {
        host.to_string()
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.machine, self.boot)
    }
}

/// One of the hosts that use one identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictingHost {
    /// The address it calls from.
    pub address: String,
    /// When it last spoke.
    pub last_contact: DateTime<Utc>,
    /// It.
    pub host: HostId,
}

/// Several hosts use one identity at the same time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityConflict {
    /// They, the one that spoke last at the end.
    pub hosts: Vec<ConflictingHost>,
}

impl fmt::Display for IdentityConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut addresses: Vec<_> = self.hosts.iter().map(|host| host.address.as_str()).collect();
        addresses.sort_unstable();
        let cloned = self.hosts.windows(2).all(|pair| pair[0].host.machine == pair[1].host.machine);
        write!(
            f,
            "{} hosts use this node's identity ({}){}; leave it to one, and have each other one join under a name of \
             its own",
            self.hosts.len(),
            addresses.join(", "),
            if cloned { " and have one machine-id, as after cloning a disk" } else { "" }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_machine_and_a_boot() {
        let host: HostId = "0af3.9c1e-77".parse().unwrap();
        assert_eq!((host.machine(), host.to_string().as_str()), ("0af3", "0af3.9c1e-77"));
        assert_eq!(serde_json::from_str::<HostId>(&serde_json::to_string(&host).unwrap()).unwrap(), host);
        for bad in ["", "a", ".b", "a.", "a b.c", "a.b.c", "a.\n"] {
            assert!(bad.parse::<HostId>().is_err(), "{bad}");
        }
        assert!(format!("{}.b", "a".repeat(65)).parse::<HostId>().is_err());
    }

    #[test]
    fn a_conflict_names_the_hosts_and_what_to_do() {
        let host = |address: &str, host: &str| ConflictingHost {
            address: address.to_owned(),
            last_contact: DateTime::UNIX_EPOCH,
            host: host.parse().unwrap(),
        };
        let conflict =
            |other| IdentityConflict { hosts: vec![host("10.0.0.6", other), host("10.0.0.5", "a.1")] };
        let cloned = conflict("a.2").to_string();
        assert!(
            cloned.starts_with("2 hosts use this node's identity (10.0.0.5, 10.0.0.6) and have one"),
            "{cloned}"
        );
        assert!(!conflict("b.2").to_string().contains("machine-id"));
    }
}
