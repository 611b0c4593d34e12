//! What all daemons say of the cluster, together: what `top` and `dashboard` show. [`Watcher`] asks, each daemon with a
//! deadline; [`view`] holds what was said, [`attention`] finds what somebody should look at. Both are pure.

mod attention;
#[cfg(test)]
pub(super) mod samples;
mod view;
mod watcher;

pub(super) use attention::matters;
pub(super) use view::{AgentView, ClusterView, RegistrarView};
pub(super) use watcher::{Images, Watcher};
