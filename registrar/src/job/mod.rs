//! Registrations: what each is at, on disk, so that a restarted registrar goes on or cleans up.

mod record;
mod registry;
mod state;
mod store;

pub use bootstash_net::api::JobId;
pub use record::JobRecord;
pub use registry::{AdvanceError, JobRegistry, Registration, SubmitError, Submitted};
pub use state::{IllegalTransition, JobState, StepOutput};
pub use store::{JobStore, StoreError};
