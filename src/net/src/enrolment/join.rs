//! Trading a token for a certificate.

use super::leave::Former;
use super::{JoinError, Left};
use crate::api::{CertificateReply, JoinRequest, Joiner, Secret, joining_client, registrar_url, routes};
use crate::identity::{Credentials, Identity, Joined, KeyRequest, Token};
use std::io::Read;
use std::path::Path;
use std::time::Duration;

const ANSWER: Duration = Duration::from_secs(20);
/// In bytes; a token is shorter.
const LONGEST_TOKEN: u64 = 4096;

/// What joining did.
#[derive(Debug)]
pub enum Joining {
    /// This very token was used here before.
    Unchanged(Identity),
    /// We are a member now.
    Joined(Identity),
    /// We are a member under another name than before, or of another registrar.
    Renamed(Identity, Left),
}

impl Joining {
    /// For people; `next` says what follows for a new member.
    pub fn text(&self, next: &str) -> String {
        match self {
            Self::Joined(identity) => format!("joined as {identity}; {next}"),
            Self::Renamed(identity, left) => format!("joined as {identity}; {next}; {}", left.text()),
            Self::Unchanged(identity) => format!("joined as {identity} with this token before: unchanged"),
        }
    }
}

/// The token that was given, or else that on standard input, where other users do not see it. Blocking.
///
/// # Errors
/// Where it is none, or cannot be read.
pub fn given_token(given: Option<&str>) -> Result<Token, JoinError> {
    let read = || std::io::read_to_string(std::io::stdin().take(LONGEST_TOKEN)).map_err(JoinError::Read);
    Ok(given.map_or_else(read, |token| Ok(token.to_owned()))?.parse()?)
}

/// Joins the registrar at `url` with a token, and keeps key and certificate in `dir`. A token that is
/// not for a program like `by` is refused, and still counts.
///
/// # Errors
/// See [`JoinError`].
pub async fn join(dir: &Path, url: &str, token: &Token, by: Joiner) -> Result<Joining, JoinError> {
    let problem = |source| JoinError::Url { url: url.to_owned(), source };
    let registrar = registrar_url(url).map_err(problem)?;
    if let Some(identity) = used_here(dir, token)? {
        return Ok(Joining::Unchanged(identity));
    }
    let former = Former::load(dir);
    let (reply, request) = ask(&registrar, token, by).await?;
    Credentials::store(dir, &request, &reply.certificate_pem, &reply.authority_pem)?;
    let former = former.filter(|former| former.differs(&reply.identity, &registrar));
    Joined { registrar, token: token.digest() }.store(dir)?;
    Ok(match former {
        Some(former) => Joining::Renamed(reply.identity, former.leave().await),
        None => Joining::Joined(reply.identity),
    })
}

fn used_here(dir: &Path, token: &Token) -> Result<Option<Identity>, JoinError> {
    let joined = Joined::load(dir)?.filter(|joined| joined.token == token.digest());
    if joined.is_none() {
        return Ok(None);
    }
    Ok(Some(Credentials::load(dir)?.identity().clone()))
}

async fn ask(
    registrar: &str,
    token: &Token,
    by: Joiner,
) -> Result<(CertificateReply, KeyRequest), JoinError> {
    let call = |source| JoinError::Call { url: registrar.to_owned(), source };
    let request = KeyRequest::new()?;
    let client = joining_client(registrar, token, ANSWER).map_err(call)?;
    let secret = Secret::new(token.reveal());
    let body = JoinRequest { token: secret, request_pem: request.request_pem().to_owned(), by };
    let reply: CertificateReply = client.post(routes::JOIN, &body).await.map_err(call)?;
    Ok((reply, request))
}
