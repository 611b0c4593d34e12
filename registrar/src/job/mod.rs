//! Registrations: what each is at, on disk, so that a restarted registrar goes on or cleans up.

mod board;
mod record;
mod state;
mod store;

pub use board::{Board, SubmitError, Submitted};
pub use bootstash_net::api::JobId;
pub use record::JobRecord;
pub use state::{Done, IllegalTransition, JobState};
pub use store::{JobStore, StoreError};
