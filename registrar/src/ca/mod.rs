//! Who belongs to this registrar: invitations, certificates given and taken away.
//!
//! Promises: a token gets one certificate, in its time, for the one it was made for; what is taken away
//! counts no more from the next instant on, also for connections that exist; a restart changes none of it.

mod error;
mod member_records;
mod renewal;

pub use error::MemberError;

use bootstash_base::files::replace_secret_file;
use bootstash_base::names::NodeName;
use bootstash_net::api::{CertificateReply, ExpelReply, InviteReply, Joiner, MemberView, Secret};
use bootstash_net::identity::{
    Authority, CredentialStore, Credentials, Identity, IdentityError, KeyRequest, Serial, Token,
};
use bootstash_net::server::RevocationList;
use chrono::{DateTime, Utc};
use member_records::MemberRecords;
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MEMBERS_FILE: &str = "members.json";

/// The members. What changes them blocks for as long as the disk takes to write a small file.
#[derive(Debug)]
pub struct Members {
    authority: Authority,
    /// Held to look or to replace, never while the disk works: the list of members does not wait for it.
    records: Mutex<MemberRecords>,
    /// Held for the whole of a change.
    changing: Mutex<()>,
    path: PathBuf,
    store: CredentialStore,
    revoked: RevocationList,
    lifetime: Duration,
    port: u16,
}

/// Makes a registrar's authority in `dir` and its own certificate, where they are missing; tells whether
/// they were. Blocking, short.
///
/// # Errors
/// Where they cannot be written, or what is there is damaged.
pub fn init(dir: &Path, lifetime: Duration) -> Result<bool, IdentityError> {
    let (authority, made) = Authority::create(dir)?;
    match Credentials::load(dir) {
        Err(IdentityError::Missing { .. }) => certify_ourselves(&authority, dir, lifetime)?,
        there => drop(there?),
    }
    Ok(made)
}

fn certify_ourselves(authority: &Authority, dir: &Path, lifetime: Duration) -> Result<(), IdentityError> {
    let request = KeyRequest::new()?;
    let issued = authority.issue(&Identity::Registrar, request.request_pem(), lifetime)?;
    Credentials::store(dir, &request, &issued.certificate_pem, authority.certificate_pem())
}

impl Members {
    /// Reads what is known in `dir`. `lifetime` is that of certificates from now on, `port` where we serve.
    ///
    /// # Errors
    /// Where [`init`] was not called, or something is damaged.
    pub fn load(dir: &Path, lifetime: Duration, port: u16) -> Result<Self, MemberError> {
        let authority = Authority::load(dir)?;
        let own = Credentials::load(dir)?;
        if own.is_due() {
            certify_ourselves(&authority, dir, lifetime)?;
        }
        let store = CredentialStore::new(Credentials::load(dir)?);
        let path = dir.join(MEMBERS_FILE);
        let records = MemberRecords::read(&path)?;
        let revoked = RevocationList::default();
        revoked.expel(records.expelled(Utc::now()));
        Ok(Self {
            authority,
            records: Mutex::new(records),
            changing: Mutex::default(),
            path,
            store,
            revoked,
            lifetime,
            port,
        })
    }

    /// Our own credentials.
    pub fn credentials(&self) -> &CredentialStore {
        &self.store
    }

    /// Who does not count any more.
    pub fn revoked(&self) -> &RevocationList {
        &self.revoked
    }

    /// Makes a token for `identity`; those made for it before do not count any more.
    ///
    /// # Errors
    /// Where nobody can be invited so, or it cannot be written down.
    pub fn invite(&self, identity: Identity, lifetime: Duration) -> Result<InviteReply, MemberError> {
        let token = Token::new(self.authority.certificate())?;
        let expires =
            self.change(|records, now| records.invite(&identity, token.digest(), lifetime, now))??;
        tracing::info!(%identity, %expires, "invited");
        Ok(InviteReply { identity, token: Secret::new(token.reveal()), expires, port: self.port })
    }

    /// Trades a token for a certificate.
    ///
    /// # Errors
    /// Where the token is none of ours, used or late: all the same to who asks. Where it is not for a program
    /// like `by`: then it still counts.
    pub fn admit(
        &self,
        token: &Token,
        by: Joiner,
        request_pem: &str,
    ) -> Result<CertificateReply, MemberError> {
        let digest = token.digest();
        let (identity, issued) = self.change(|records, now| {
            let identity = records.invited(&digest, by, now)?;
            let issued = self.authority.issue(&identity, request_pem, self.lifetime)?;
            records.admit(&digest, &issued, now);
            Ok::<_, MemberError>((identity, issued))
        })??;
        tracing::info!(%identity, serial = %issued.serial, expires = %issued.expires, "joined");
        Ok(self.reply(identity, issued.certificate_pem))
    }

    /// Gives a member a new certificate beside the one it has.
    ///
    /// # Errors
    /// Where that one was taken away in the meantime, or the member has too many that count.
    pub fn renew(
        &self,
        identity: &Identity,
        serial: &Serial,
        request_pem: &str,
    ) -> Result<CertificateReply, MemberError> {
        let issued = self.change(|records, now| {
            records.may_renew(identity, serial, now)?;
            let issued = self.authority.issue(identity, request_pem, self.lifetime)?;
            records.renewed(identity, &issued, now);
            Ok::<_, MemberError>(issued)
        })??;
        tracing::info!(%identity, serial = %issued.serial, expires = %issued.expires, "renewed");
        Ok(self.reply(identity.clone(), issued.certificate_pem))
    }

    /// Takes all certificates and tokens of `identity` away, at once.
    ///
    /// # Errors
    /// Where it cannot be written down: then nothing has changed.
    pub fn expel(&self, identity: &Identity) -> Result<ExpelReply, MemberError> {
        let reply = self.change(|records, now| records.expel(identity, now))?;
        if reply.certificates + reply.invitations > 0 {
            tracing::info!(%identity, certificates = reply.certificates, "expelled");
        }
        Ok(reply)
    }

    /// Of each node that was let in and whose certificates have not ended, since when none counts.
    pub fn node_standings(&self) -> BTreeMap<NodeName, Option<DateTime<Utc>>> {
        self.lock().node_standings(Utc::now())
    }

    /// Everybody with a certificate that has not ended.
    pub fn views(&self) -> Vec<MemberView> {
        self.lock().members(Utc::now())
    }

    fn reply(&self, identity: Identity, certificate_pem: String) -> CertificateReply {
        CertificateReply {
            identity,
            certificate_pem,
            authority_pem: self.authority.certificate_pem().to_owned(),
        }
    }

    /// Changes the records, writes them to disk, and only then lets the change count.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut MemberRecords, DateTime<Utc>) -> T,
    ) -> Result<T, MemberError> {
        let _one_at_a_time = self.changing.lock();
        let (before, now) = (self.lock().clone(), Utc::now());
        let mut changed = before.clone();
        changed.forget_ended(now);
        let outcome = change(&mut changed, now);
        if changed != before {
            let written = changed.to_json().and_then(|text| replace_secret_file(&self.path, &text));
            written.map_err(|source| IdentityError::Io { path: self.path.clone(), source })?;
            self.revoked.expel(changed.expelled(now));
            *self.lock() = changed;
        }
        Ok(outcome)
    }

    fn lock(&self) -> MutexGuard<'_, MemberRecords> {
        // What panics in it has not changed it yet.
        self.records.lock()
    }
}
