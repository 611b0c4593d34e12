//! What carries a request to a daemon and its answer back: a socket, or in a simulation a network that is
//! made up.

use async_trait::async_trait;
use reqwest::{Request, Response};
use std::error::Error;
use std::fmt;

/// No answer came.
#[derive(Debug)]
pub struct TransportError(Box<dyn Error + Send + Sync>);

impl TransportError {
    /// Why none came.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for TransportError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// Carries requests.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync {
    /// The answer, whose body comes as it is read.
    async fn send(&self, request: Request) -> Result<Response, TransportError>;
}

#[async_trait]
impl Transport for reqwest::Client {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        // The URL is named by whoever made the request.
        self.execute(request).await.map_err(|error| TransportError::new(error.without_url()))
    }
}
