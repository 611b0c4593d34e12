//! What is known of invitations and certificates. Pure, but for reading the file.

use super::MemberError;
use super::error::MOST_CERTIFICATES;
use bootstash_base::names::NodeName;
use bootstash_net::api::{ExpelReply, Joiner, MemberView};
use bootstash_net::identity::{Identity, IdentityError, Issued, Serial, TokenDigest};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

const LONGEST_INVITATION: Duration = Duration::from_secs(7 * 86400);

/// The invitations and certificates that have not ended, as they are kept in the file of members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MemberRecords {
    invitations: Vec<Invitation>,
    certificates: Vec<MemberView>,
}

/// A token that was not used yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Invitation {
    identity: Identity,
    token: TokenDigest,
    expires: DateTime<Utc>,
}

impl MemberRecords {
    pub(super) fn read(path: &Path) -> Result<Self, IdentityError> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(IdentityError::Io { path: path.to_owned(), source }),
        };
        serde_json::from_slice(&text)
            .map_err(|source| IdentityError::Damaged { path: path.to_owned(), source: source.into() })
    }

    pub(super) fn to_json(&self) -> io::Result<Vec<u8>> {
        Ok(serde_json::to_vec_pretty(self)?)
    }

    /// What has ended needs no remembering.
    pub(super) fn forget_ended(&mut self, now: DateTime<Utc>) {
        self.invitations.retain(|invitation| invitation.expires > now);
        self.certificates.retain(|certificate| certificate.expires > now);
    }

    pub(super) fn invite(
        &mut self,
        identity: &Identity,
        token: TokenDigest,
        lifetime: Duration,
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, MemberError> {
        if *identity == Identity::Registrar {
            return Err(MemberError::Role(identity.clone()));
        }
        if lifetime < Duration::from_secs(1) || lifetime > LONGEST_INVITATION {
            return Err(MemberError::Lifetime);
        }
        let expires = now + lifetime;
        self.invitations.retain(|invitation| invitation.identity != *identity);
        self.invitations.push(Invitation { identity: identity.clone(), token, expires });
        Ok(expires)
    }

    /// Who a token was made for, if they join by that program.
    pub(super) fn invited(
        &self,
        token: &TokenDigest,
        by: Joiner,
        now: DateTime<Utc>,
    ) -> Result<Identity, MemberError> {
        let found = self.invitations.iter().find(|invitation| invitation.token == *token);
        let valid = found.filter(|invitation| invitation.expires > now);
        let identity = valid.ok_or(MemberError::Token)?.identity.clone();
        if Joiner::of(&identity) == by { Ok(identity) } else { Err(MemberError::Joiner { identity }) }
    }

    /// The token is used; what its owner had before is taken back: a node that joins anew has lost its key,
    /// or somebody else has it.
    pub(super) fn admit(&mut self, token: &TokenDigest, issued: &Issued, now: DateTime<Utc>) {
        let Some(at) = self.invitations.iter().position(|invitation| invitation.token == *token) else {
            return;
        };
        let identity = self.invitations.remove(at).identity;
        self.take_back(&identity, now);
        self.renewed(&identity, issued, now);
    }

    /// Whether the one with certificate `serial` gets another.
    pub(super) fn may_renew(
        &self,
        identity: &Identity,
        serial: &Serial,
        now: DateTime<Utc>,
    ) -> Result<(), MemberError> {
        let expelled =
            |certificate: &MemberView| certificate.serial == *serial && certificate.expelled.is_some();
        if self.certificates.iter().any(expelled) {
            return Err(MemberError::Expelled);
        }
        let counting = self.certificates.iter().filter(|certificate| counts(certificate, identity, now));
        if counting.count() >= MOST_CERTIFICATES {
            return Err(MemberError::Renewals { identity: identity.clone() });
        }
        Ok(())
    }

    pub(super) fn renewed(&mut self, identity: &Identity, issued: &Issued, now: DateTime<Utc>) {
        self.certificates.push(MemberView {
            identity: identity.clone(),
            serial: issued.serial.clone(),
            issued: now,
            expires: issued.expires,
            expelled: None,
        });
    }

    pub(super) fn expel(&mut self, identity: &Identity, now: DateTime<Utc>) -> ExpelReply {
        let before = self.invitations.len();
        self.invitations.retain(|invitation| invitation.identity != *identity);
        let invitations = (before - self.invitations.len()) as u64;
        ExpelReply { certificates: self.take_back(identity, now), invitations }
    }

    fn take_back(&mut self, identity: &Identity, now: DateTime<Utc>) -> u64 {
        let taken = self.certificates.iter_mut().filter(|certificate| counts(certificate, identity, now));
        taken.map(|certificate| certificate.expelled = Some(now)).count() as u64
    }

    /// Certificates that have not ended and do not count.
    pub(super) fn expelled(&self, now: DateTime<Utc>) -> BTreeSet<Serial> {
        let expelled =
            |certificate: &&MemberView| certificate.expelled.is_some() && certificate.expires > now;
        self.certificates.iter().filter(expelled).map(|certificate| certificate.serial.clone()).collect()
    }

    /// Of each node that has a certificate that has not ended, when all of them were taken back; none where one counts.
    pub(super) fn node_standings(&self, now: DateTime<Utc>) -> BTreeMap<NodeName, Option<DateTime<Utc>>> {
        let mut standings = BTreeMap::new();
        for certificate in self.certificates.iter().filter(|certificate| certificate.expires > now) {
            if let Identity::Node(node) = &certificate.identity {
                let known = standings.entry(node.clone()).or_insert(certificate.expelled);
                *known = known.zip(certificate.expelled).map(|(one, other)| one.max(other));
            }
        }
        standings
    }

    pub(super) fn members(&self, now: DateTime<Utc>) -> Vec<MemberView> {
        let mut members: Vec<_> =
            self.certificates.iter().filter(|certificate| certificate.expires > now).cloned().collect();
        members.sort_by(|a, b| (&a.identity, a.issued).cmp(&(&b.identity, b.issued)));
        members
    }
}

/// Whether it is one of `identity`'s that can be used now.
fn counts(certificate: &MemberView, identity: &Identity, now: DateTime<Utc>) -> bool {
    certificate.identity == *identity && certificate.expelled.is_none() && certificate.expires > now
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn serial(number: usize) -> Serial {
        serde_json::from_value(format!("{number:02x}").into()).unwrap()
    }

    fn issued(number: usize, expires: DateTime<Utc>) -> Issued {
        Issued { certificate_pem: String::new(), serial: serial(number), expires }
    }

    #[test]
    fn a_node_is_expelled_while_none_of_its_certificates_counts() {
        let (mut records, now) = (MemberRecords::default(), DateTime::UNIX_EPOCH);
        let (c1, c2): (Identity, Identity) = ("node:c1".parse().unwrap(), "node:c2".parse().unwrap());
        let (end, later) = (now + TimeDelta::days(90), now + TimeDelta::days(1));
        for (number, identity) in [&c1, &c1, &c2].into_iter().enumerate() {
            records.renewed(identity, &issued(number, end), now);
        }
        records.renewed(&"operator:ada".parse().unwrap(), &issued(9, end), now);
        let standings =
            |records: &MemberRecords, now| records.node_standings(now).into_values().collect::<Vec<_>>();
        assert_eq!(standings(&records, now), [None, None]);
        records.expel(&c1, later);
        assert_eq!(standings(&records, later), [Some(later), None]);
        records.renewed(&c1, &issued(10, end), later);
        assert_eq!(standings(&records, later), [None, None]);
        assert_eq!(standings(&records, end), []);
    }

    #[test]
    fn nobody_renews_without_end() {
        let (mut records, now) = (MemberRecords::default(), DateTime::UNIX_EPOCH);
        let node = |name: &str| Identity::Node(name.parse().unwrap());
        let (c1, c2, end) = (node("c1"), node("c2"), now + TimeDelta::days(90));
        for number in 0..MOST_CERTIFICATES {
            records.may_renew(&c1, &serial(0), now).unwrap();
            records.renewed(&c1, &issued(number, end), now);
        }
        let refused = records.may_renew(&c1, &serial(0), now).unwrap_err();
        assert!(matches!(refused, MemberError::Renewals { .. }), "{refused}");
        // Others are none the worse for it, and time or an operator helps.
        records.may_renew(&c2, &serial(99), now).unwrap();
        records.may_renew(&c1, &serial(99), end).unwrap();
        assert_eq!(records.expel(&c1, now).certificates, MOST_CERTIFICATES as u64);
        assert!(matches!(records.may_renew(&c1, &serial(0), now), Err(MemberError::Expelled)));
        records.may_renew(&c1, &serial(99), now).unwrap();
    }
}
