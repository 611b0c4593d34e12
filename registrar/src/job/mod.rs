//! Registrations: what each is at, on disk, so that a restarted registrar goes on or cleans up.

mod error;
mod record;
mod registration;
mod registry;
mod state;
mod store;

pub use bootstash_net::api::JobId;
pub use error::{AdvanceError, SubmitError};
pub use record::JobRecord;
pub use registration::Registration;
pub use registry::{JobRegistry, Submitted};
pub use state::{IllegalTransition, JobState, StepOutput};
pub use store::{JobStore, StoreError};
