//! Why somebody was not let in, or out.

use bootstash_base::error::Classified;
use bootstash_net::api::Joiner;
use bootstash_net::identity::{Identity, IdentityError};

/// That count at the same time, of one identity: a renewal in time leaves two, and an answer that was lost
/// one more.
pub(super) const MOST_CERTIFICATES: usize = 8;

/// An invitation, a certificate or an expulsion was not to be had.
#[derive(Debug, thiserror::Error, Classified)]
#[class(permanent)]
pub enum MemberError {
    /// One sentence for a token that never was, one that was used and one that is late: the difference
    /// is no business of an unauthenticated client.
    #[error(
        "this token is not valid: it was used, its time is over, or it is another registrar's; ask for a new one"
    )]
    Token,
    /// It is another program's to use. Only who has a token that counts is told.
    #[error("this token is for {identity}, and still counts: use it with `{} join`", Joiner::of(.identity).program())]
    Joiner {
        /// Who it was made for.
        identity: Identity,
    },
    /// It was taken away.
    #[error("this certificate does not count any more")]
    Expelled,
    /// It has renewed without end: something is wrong there, or somebody would fill our disk.
    #[error(
        "{identity} has {MOST_CERTIFICATES} certificates that count, and gets no more; expel it, and invite it anew"
    )]
    Renewals {
        /// Who asks for another one.
        identity: Identity,
    },
    /// Only nodes, operators and monitors are invited.
    #[error("nobody can join as {0}")]
    Role(Identity),
    /// A token for so long is a password.
    #[error("a token is valid for a week at most, and at least a second")]
    Lifetime,
    /// The files, or TLS.
    #[error(transparent)]
    #[class(source)]
    Identity(#[from] IdentityError),
}
