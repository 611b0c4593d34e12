//! The hosts that were heard under one identity, and whether several use it at the same time. Pure.
//!
//! Promises: an agent that restarts, a host that starts anew or is installed anew is no conflict, as what it was before
//! never speaks again; nor is one that is set back once to an older state of itself. Two that speak in turns are one
//! until [`QUIET`] after the last time.

use bootstash_net::api::{ConflictingHost, HostId, IdentityConflict};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// A node speaks at least twice a minute.
const QUIET: TimeDelta = TimeDelta::minutes(15);
/// More than this many are not told apart.
const MOST_HOSTS: usize = 8;

/// The hosts that spoke under one identity, the one that did last at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Hosts(Vec<Heard>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Heard {
    host: HostId,
    address: String,
    last_contact: DateTime<Utc>,
    /// When it last spoke again after another had.
    returned: Option<DateTime<Utc>>,
}

impl Hosts {
    /// One spoke.
    pub(crate) fn heard(&mut self, host: &HostId, address: &str, now: DateTime<Utc>) {
        let before = self.0.iter().position(|heard| heard.host == *host).map(|at| (at, self.0.remove(at)));
        let returned = match before {
            None => None,
            Some((at, heard)) if at == self.0.len() => heard.returned,
            Some(_) => Some(now),
        };
        self.0.push(Heard { host: host.clone(), address: address.to_owned(), last_contact: now, returned });
        if self.0.len() > MOST_HOSTS {
            self.0.remove(0);
        }
    }

    /// Those that use the identity at the same time.
    pub(crate) fn conflict(&self, now: DateTime<Utc>) -> Option<IdentityConflict> {
        let lately = |at: DateTime<Utc>| now - at < QUIET;
        let in_turns = self.0.iter().filter(|heard| heard.returned.is_some_and(lately));
        let hosts: Vec<_> = in_turns
            .map(|heard| ConflictingHost {
                address: heard.address.clone(),
                last_contact: heard.last_contact,
                host: heard.host.clone(),
            })
            .collect();
        (hosts.len() > 1).then_some(IdentityConflict { hosts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    /// Hears hosts in this order, twenty seconds apart, and tells after each whether there is a conflict.
    fn conflicts(order: &[&str]) -> Vec<bool> {
        let mut hosts = Hosts::default();
        let hear = |(turn, host): (usize, &&str)| {
            let now = at(turn as i64 * 20);
            hosts.heard(&host.parse().unwrap(), &format!("10.0.0.{}", host.len()), now);
            hosts.conflict(now).is_some()
        };
        order.iter().enumerate().map(hear).collect()
    }

    #[test]
    fn two_hosts_that_speak_in_turns_are_a_conflict() {
        assert_eq!(
            conflicts(&["m.1", "m.2", "m.1", "m.2", "m.2", "m.1"]),
            [false, false, false, true, true, true]
        );
        assert!(conflicts(&["m.1", "n.1", "m.1", "n.1"])[3]);
        let three = conflicts(&["m.1", "m.2", "m.3", "m.1", "m.2", "m.3"]);
        assert_eq!(three, [false, false, false, false, true, true]);
    }

    #[test]
    fn a_host_that_starts_anew_or_is_installed_anew_or_is_set_back_is_none() {
        assert!(!conflicts(&["m.1", "m.1", "m.2", "m.2", "m.3", "m.3"]).contains(&true), "starts");
        assert!(!conflicts(&["m.1", "n.7", "n.7"]).contains(&true), "installed");
        assert!(!conflicts(&["m.1", "m.2", "m.1", "m.1", "m.3"]).contains(&true), "set back");
    }

    #[test]
    fn a_conflict_ends_a_while_after_one_of_the_hosts_fell_silent() {
        let mut hosts = Hosts::default();
        for (turn, host) in ["m.1", "m.2", "m.1", "m.2"].into_iter().enumerate() {
            hosts.heard(&host.parse().unwrap(), "10.0.0.1", at(turn as i64));
        }
        let minutes = |minutes: i64| at(3 + 60 * minutes);
        hosts.heard(&"m.2".parse().unwrap(), "10.0.0.1", minutes(14));
        assert!(hosts.conflict(minutes(14)).is_some());
        hosts.heard(&"m.2".parse().unwrap(), "10.0.0.1", minutes(16));
        assert_eq!(hosts.conflict(minutes(16)), None);
        let many = (0..100).map(|boot| format!("m.{boot}"));
        many.for_each(|host| hosts.heard(&host.parse().unwrap(), "10.0.0.1", minutes(20)));
        assert_eq!((hosts.0.len(), hosts.conflict(minutes(20))), (MOST_HOSTS, None));
    }
}
