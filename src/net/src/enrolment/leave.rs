//! Giving the certificate back that another one takes the place of.
//!
//! Promises: a host that was renamed, or goes to another registrar, does not stay on the old one's lists; where that
//! one cannot be told, whoever joins is.

use crate::api::{CallError, Dialer, ExpelReply, routes};
use crate::identity::{CredentialStore, Credentials, ExpectedPeer, Identity, Joined};
use bootstash_base::error::Chain;
use std::path::Path;
use std::time::Duration;

const ANSWER: Duration = Duration::from_secs(10);

/// Who a host was before it joined anew.
#[derive(Debug)]
pub(super) struct Former {
    credentials: Credentials,
    registrar: String,
}

/// A host gave up who it was, or could not.
#[derive(Debug)]
pub struct Left {
    /// Who it was.
    pub identity: Identity,
    /// Of which registrar.
    pub registrar: String,
    /// Why that one does not know.
    pub problem: Option<String>,
}

impl Former {
    /// Who the host is by what lies in `dir`; none where that is nobody, or cannot be read. Blocking, short.
    pub(super) fn load(dir: &Path) -> Option<Self> {
        let registrar = Joined::load(dir).ok()??.registrar;
        Some(Self { credentials: Credentials::load(dir).ok()?, registrar })
    }

    /// Whether it is another than the one that is `identity` of `registrar`: of the same one, the registrar takes the
    /// certificate back by itself.
    pub(super) fn differs(&self, identity: &Identity, registrar: &str) -> bool {
        self.credentials.identity() != identity || self.registrar != registrar
    }

    /// Gives its certificates back.
    pub(super) async fn leave(self) -> Left {
        let Self { credentials, registrar } = self;
        let identity = credentials.identity().clone();
        let dialer = Dialer::new(CredentialStore::new(credentials));
        // Leaving ends the connection that asked for it, often before the answer: whoever asks again is told.
        let mut answer = give_back(&dialer, &registrar).await;
        if answer.as_ref().is_err_and(|error| !is_expelled(error)) {
            answer = give_back(&dialer, &registrar).await;
        }
        let problem = answer.err().filter(|error| !is_expelled(error)).map(|error| Chain(&error).to_string());
        Left { identity, registrar, problem }
    }
}

fn is_expelled(error: &CallError) -> bool {
    matches!(error, CallError::Expelled { .. })
}

async fn give_back(dialer: &Dialer, registrar: &str) -> Result<ExpelReply, CallError> {
    let expected = ExpectedPeer::Exactly(Identity::Registrar);
    dialer.client_with_read_timeout(registrar, expected, ANSWER)?.post(routes::DEPARTURE, &()).await
}

impl Left {
    /// For people.
    pub(super) fn text(&self) -> String {
        let Self { identity, registrar, problem } = self;
        match problem {
            None => format!("{registrar} was told that this is {identity} no more"),
            Some(problem) => format!(
                "{registrar} does not know that this is {identity} no more ({problem}); expel it there: `bootstash {}`",
                identity.to_string().replacen(' ', " expel ", 1)
            ),
        }
    }
}
