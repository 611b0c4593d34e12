//! Calling a daemon: over its Unix socket or over TCP, JSON in and out.

use super::{Joiner, Transport, TransportError, answer};
use crate::identity::{CredentialStore, Identity, without_trust_roots};
use bootstash_base::error::{Classified, ErrorClass};
use chrono::{DateTime, Utc};
use reqwest::header::LOCATION;
use reqwest::{Method, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// On the network: longer than any route waits (60 s), so that it ends only what hangs. On a Unix
/// socket there is none: an order can wait for a large delta, and a daemon that dies closes the socket.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(90);
/// Shorter than a daemon keeps a connection on which nothing is asked.
const IDLE: Duration = Duration::from_secs(45);

/// Where a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket.
    Unix(PathBuf),
    /// A URL of scheme and authority.
    Tcp(String),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Tcp(url) => url.fmt(f),
        }
    }
}

/// A call did not succeed.
#[derive(Debug, thiserror::Error, Classified)]
pub enum CallError {
    /// Nobody answered, or the connection broke.
    #[error("no answer from {endpoint}")]
    #[class(transient)]
    Unreachable {
        /// Who was called.
        endpoint: Endpoint,
        /// How the connection failed.
        source: TransportError,
    },
    /// The daemon said no.
    #[error("{error}")]
    #[class(field = kind)]
    Refused {
        /// HTTP status.
        status: u16,
        /// What it said.
        error: String,
        /// What may follow.
        kind: ErrorClass,
    },
    /// It knows the caller, whose certificate was taken back.
    #[error(
        "{identity} was expelled by {endpoint}; ask for an invitation there (`bootstash {}`) and join again: `{} join \
         {endpoint} TOKEN`",
        invitation(.identity), Joiner::of(.identity).program()
    )]
    #[class(operator)]
    Expelled {
        /// Who was called.
        endpoint: Endpoint,
        /// Who called.
        identity: Identity,
    },
    /// The caller's certificate has ended, and nobody answers one who shows it.
    #[error(
        "the certificate of {identity} ended on {}, and {endpoint} takes no other; ask for an invitation there \
         (`bootstash {}`) and join again: `{} join {endpoint} TOKEN`",
        .ended.format("%Y-%m-%d"), invitation(.identity), Joiner::of(.identity).program()
    )]
    #[class(operator)]
    CertificateEnded {
        /// Who was called.
        endpoint: Endpoint,
        /// Who called.
        identity: Identity,
        /// When it ended.
        ended: DateTime<Utc>,
    },
    /// The daemon has enough to do, and says when to retry.
    #[error("{error}")]
    #[class(busy)]
    Busy {
        /// What it said.
        error: String,
        /// After how long.
        retry_after: Duration,
    },
    /// It answered in a form we cannot read, or without end.
    #[error("{endpoint} answered in a form this version cannot read")]
    #[class(operator)]
    Answer {
        /// Who was called.
        endpoint: Endpoint,
        /// What is wrong with the answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The words that invite one: `node invite c1`.
fn invitation(identity: &Identity) -> String {
    identity.to_string().replacen(' ', " invite ", 1)
}

/// Where a download can be had.
#[derive(Debug)]
pub enum Found {
    /// Here; it is on its way.
    Here(Response),
    /// At this URL, as the daemon says.
    Elsewhere(String),
}

/// Calls one daemon. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    /// Writes the requests.
    http: reqwest::Client,
    transport: Arc<dyn Transport>,
    endpoint: Endpoint,
    base: String,
    /// What it shows of itself, if it does.
    credentials: Option<CredentialStore>,
}

impl Client {
    /// A client of the daemon at `endpoint`. Connects with the first call.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up at all.
    pub fn new(endpoint: Endpoint) -> Result<Self, CallError> {
        Self::patient_for(endpoint, READ_TIMEOUT)
    }

    /// The same, and on the network gives up on who says nothing for `silence`, which has to be longer than
    /// any answer is held back.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up at all.
    pub fn patient_for(endpoint: Endpoint, silence: Duration) -> Result<Self, CallError> {
        match without_trust_roots() {
            Ok(tls) => Self::built(endpoint, silence, builder(tls)),
            Err(error) => Err(unreachable(&endpoint, TransportError::new(error))),
        }
    }

    /// The same, with TLS, and with nothing but TLS.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up at all.
    pub(super) fn over_tls(
        endpoint: Endpoint,
        silence: Duration,
        tls: rustls::ClientConfig,
    ) -> Result<Self, CallError> {
        Self::built(endpoint, silence, builder(tls).https_only(true))
    }

    fn built(
        endpoint: Endpoint,
        silence: Duration,
        builder: reqwest::ClientBuilder,
    ) -> Result<Self, CallError> {
        let (builder, base) = match &endpoint {
            Endpoint::Unix(path) => (builder.unix_socket(path.clone()), "http://localhost".to_owned()),
            Endpoint::Tcp(url) => (builder.read_timeout(silence), url.trim_end_matches('/').to_owned()),
        };
        let http = builder.build().map_err(|error| unreachable(&endpoint, TransportError::new(error)))?;
        Ok(Self { transport: Arc::new(http.clone()), http, endpoint, base, credentials: None })
    }

    /// The same, which says so where it is not answered because its certificate has ended.
    #[must_use]
    pub(super) fn showing(self, credentials: CredentialStore) -> Self {
        Self { credentials: Some(credentials), ..self }
    }

    /// The same, with all requests carried by `transport`.
    #[must_use]
    pub fn over(self, transport: Arc<dyn Transport>) -> Self {
        Self { transport, ..self }
    }

    /// Who is called.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// `GET path?query`, the answer as JSON.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &impl Serialize) -> Result<T, CallError> {
        self.decode(self.send(Method::GET, path, query, None::<&()>, None).await?).await
    }

    /// `POST path` with a JSON body, the answer as JSON.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, CallError> {
        self.decode(self.send(Method::POST, path, &(), Some(body), None).await?).await
    }

    /// `DELETE path?query`, the answer as JSON.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn delete<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &impl Serialize,
    ) -> Result<T, CallError> {
        self.decode(self.send(Method::DELETE, path, query, None::<&()>, None).await?).await
    }

    /// `GET path` from byte `offset` on, the answer as it comes. The caller looks at the status:
    /// 206 when the offset was honoured, 200 when not.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn download(&self, path: &str, offset: u64) -> Result<Response, CallError> {
        self.send(Method::GET, path, &(), None::<&()>, range_from(offset)).await
    }

    /// Like [`Self::download`], of a daemon that may know somebody else who has it (307). That one is
    /// not called: it is for the caller to judge.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn find(&self, path: &str, query: &impl Serialize, offset: u64) -> Result<Found, CallError> {
        let response = self.exchange(Method::GET, path, query, None::<&()>, range_from(offset)).await?;
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        match (response.status(), location) {
            (StatusCode::TEMPORARY_REDIRECT, Some(location)) => Ok(Found::Elsewhere(location.to_owned())),
            (status, _) if status.is_success() => Ok(Found::Here(response)),
            _ => Err(answer::refusal(response, &self.endpoint).await),
        }
    }

    /// `GET path?query`, the answer as it comes.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn stream(&self, path: &str, query: &impl Serialize) -> Result<Response, CallError> {
        self.send(Method::GET, path, query, None::<&()>, None).await
    }

    /// `POST path`, the answer as it comes.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn ask(&self, path: &str, body: &impl Serialize) -> Result<Response, CallError> {
        self.send(Method::POST, path, &(), Some(body), None).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &impl Serialize,
        body: Option<&impl Serialize>,
        range: Option<String>,
    ) -> Result<Response, CallError> {
        let response = self.exchange(method, path, query, body, range).await?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(answer::refusal(response, &self.endpoint).await)
        }
    }

    /// The answer, whatever it says.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        query: &impl Serialize,
        body: Option<&impl Serialize>,
        range: Option<String>,
    ) -> Result<Response, CallError> {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).query(query);
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(range) = range {
            request = request.header(reqwest::header::RANGE, range);
        }
        let request = request.build().map_err(TransportError::new);
        let sent = async { self.transport.send(request?).await };
        sent.await.map_err(|source| self.unanswered(source))
    }

    /// TLS ends a handshake with one whose certificate has ended without saying it in words.
    fn unanswered(&self, source: TransportError) -> CallError {
        let shown = self.credentials.as_ref().map(CredentialStore::now);
        match shown.filter(|shown| shown.expires() < Utc::now()) {
            Some(shown) => CallError::CertificateEnded {
                endpoint: self.endpoint.clone(),
                identity: shown.identity().clone(),
                ended: shown.expires(),
            },
            None => unreachable(&self.endpoint, source),
        }
    }

    /// An answer that came with [`Self::download`] or [`Self::stream`], as JSON.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn decode<T: DeserializeOwned>(&self, response: Response) -> Result<T, CallError> {
        answer::json(response, &self.endpoint).await
    }
}

fn builder(tls: rustls::ClientConfig) -> reqwest::ClientBuilder {
    // Who is called may say that somebody else has it; nobody is called for that unseen.
    let none = reqwest::redirect::Policy::none();
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE)
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(none)
}

fn unreachable(endpoint: &Endpoint, source: TransportError) -> CallError {
    CallError::Unreachable { endpoint: endpoint.clone(), source }
}

fn range_from(offset: u64) -> Option<String> {
    (offset > 0).then(|| format!("bytes={offset}-"))
}
