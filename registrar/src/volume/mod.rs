//! The volume on the storage node, and the one task that changes it.
//!
//! Promises: changes happen one after another; imports that wait together share a snapshot; each
//! snapshot has its delta, also after a crash between the two; what failed leaves nothing behind.

mod collect;
mod collected_guids;
mod combine;
mod error;
mod extend;
mod handle;
mod head_images;
mod import;
mod log;
mod mounted;
mod publish;
mod reader;
mod restore;
mod task;

pub use combine::Combiner;
pub use error::VolumeError;
pub use handle::VolumeHandle;
pub use head_images::{HeadImages, HeadImagesError};
pub use import::ImportRequest;
pub use log::{DeltaProblem, FullStream, PublicationLog};
pub use reader::VolumeReader;
pub use restore::{Restore, Restored};
pub use task::VolumeTask;
