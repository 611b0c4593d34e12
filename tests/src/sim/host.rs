//! A host and its lives. What happens on a host happens at instants that are that host's alone: so the
//! order in which a runtime wakes the tasks of one instant never decides anything, and a seed always
//! gives the same trace.

use super::model::Model;
use super::time;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// More than there are hosts; a divisor of every wait in whole seconds, so that those keep to it.
const CLASSES: u64 = 8;

/// A host, with its own random numbers and its own instants.
pub(super) struct Host {
    pub(super) name: String,
    class: u64,
    rng: Mutex<fastrand::Rng>,
    taken: Mutex<BTreeSet<u64>>,
    pub(super) model: Arc<Model>,
}

impl Host {
    /// The host number `class` (below 8) of a seed.
    pub(super) fn new(name: &str, class: u64, seed: u64, model: &Arc<Model>) -> Arc<Self> {
        assert!(class < CLASSES);
        let rng = fastrand::Rng::with_seed(seed.wrapping_mul(CLASSES + 1).wrapping_add(class));
        Arc::new(Self {
            name: name.to_owned(),
            class,
            rng: Mutex::new(rng),
            taken: Mutex::default(),
            model: Arc::clone(model),
        })
    }

    /// Draws from this host's own random numbers.
    pub(super) fn draw<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether what happens `in_a_thousand` times of a thousand happens now.
    pub(super) fn happens(&self, in_a_thousand: u32) -> bool {
        in_a_thousand > 0 && self.draw(|rng| rng.u32(0..1000)) < in_a_thousand
    }

    /// Waits between `least_ms` and `most_ms`.
    pub(super) async fn pause(&self, least_ms: u64, most_ms: u64) {
        let ms = self.draw(|rng| rng.u64(least_ms..=most_ms));
        tokio::time::sleep_until(time::at_ms(self.instant(time::now_ms() + ms))).await;
    }

    /// An instant of this host, at or after `wanted_ms`, at which nothing else of it wakes.
    fn instant(&self, wanted_ms: u64) -> u64 {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        *taken = taken.split_off(&time::now_ms());
        let mut at = wanted_ms + 1;
        at += (self.class + CLASSES - at % CLASSES) % CLASSES;
        while !taken.insert(at) {
            at += CLASSES;
        }
        at
    }

    /// Notes what happened here.
    pub(super) fn note(&self, what: fmt::Arguments<'_>) {
        self.model.trace.note(format_args!("{}: {what}", self.name));
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// From a daemon's start to its end. Whatever of it still waits when it is killed waits for ever: like a
/// process that was killed, it does not get to clean up.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) host: Arc<Host>,
    killed: CancellationToken,
}

impl Life {
    pub(super) fn new(host: &Arc<Host>) -> Self {
        Self { host: Arc::clone(host), killed: CancellationToken::new() }
    }

    pub(super) fn kill(&self) {
        self.killed.cancel();
    }

    pub(super) fn token(&self) -> CancellationToken {
        self.killed.clone()
    }

    pub(super) fn is_killed(&self) -> bool {
        self.killed.is_cancelled()
    }

    /// Returns when it was killed.
    pub(super) async fn killed(&self) {
        self.killed.cancelled().await;
    }

    /// Waits between `least_ms` and `most_ms`, and for ever once it was killed.
    pub(super) async fn pause(&self, least_ms: u64, most_ms: u64) {
        // Who is dead draws nothing.
        self.or_never().await;
        self.host.pause(least_ms, most_ms).await;
        self.or_never().await;
    }

    /// Goes on only where it is not killed.
    pub(super) async fn or_never(&self) {
        if self.is_killed() {
            std::future::pending::<()>().await;
        }
    }
}
