//! A read-only NBD export on a Unix socket, and what is read through it.
//!
//! Promises: nothing can be written; every request is bounded; an export ends with its handle. The
//! crate `nbd` does not serve here: it blocks, knows neither INFO nor GO, and shows no single request.

mod base;
mod export;
mod extents;
mod protocol;
mod session;
mod source;
mod trace;

pub use base::{Base, OpenBaseError};
pub use export::{Export, ExportError};
pub use extents::{Extent, ExtentKind};
pub use source::{BlockSource, Refusing};
pub use trace::{ReadTrace, TraceView};
