//! The whole system in virtual time: registrar and agents as they are, on a fake ZFS and a simulated network,
//! through crashes at any await, lost and late messages, full pools and restored backups.
//!
//! One seed is one history: it is drawn from the seed alone, and the same seed gives the same trace. At
//! each effect on a pool and after each event what must hold is checked (`invariants`, `world`, `observer`);
//! at the end all faults end and everything must converge (`convergence`).
//!
//! Why we use no simulation framework. turmoil steps every host by a fixed tick, so that an hour in which nothing happens
//! takes as long as one in which something does; and it wants its own sockets under hyper and reqwest,
//! where we have a seam above both (`api::Transport`). madsim replaces tokio, and all that stands on it,
//! under a `--cfg` of its own: everything would be compiled a second time. Neither makes work on files
//! deterministic, which is done here by letting nothing else happen at that instant (`host`).

mod capturer;
mod commands;
mod convergence;
mod crash;
mod delivery;
mod events;
mod host;
mod invariants;
mod model;
mod network;
mod node;
mod observer;
mod operator;
mod overlays;
mod pool;
mod run;
mod scratch;
mod storage;
mod time;
mod trace;
mod world;
mod zfs;

pub use run::{Outcome, run};
pub use scratch::ScratchDir;
