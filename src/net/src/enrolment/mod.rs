//! Belonging to a registrar: joining it with a token, and staying a member.
//!
//! Promises: joining with the same token again changes nothing; what was there stays until the new
//! certificate is on disk; a key is made here and never sent.

mod error;
mod join;
mod leave;
mod renew;

pub use error::{JoinError, RenewError};
pub use join::{Joining, given_token, join};
pub use leave::Left;
pub use renew::{keep, renew};
