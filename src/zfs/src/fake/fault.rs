//! Faults that a test plans: the next call of a kind fails, or hangs until it is let go.

use crate::ZfsFailure;
use crate::call_monitor::Calls;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use tokio::sync::oneshot;

/// A verb of the trait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// `dataset`
    Dataset,
    /// `children`
    Children,
    /// `create`
    Create,
    /// `mount`
    Mount,
    /// `snapshots`
    Snapshots,
    /// `snapshot`
    Snapshot,
    /// `destroy_snapshot`
    DestroySnapshot,
    /// `destroy`
    Destroy,
    /// `clone_snapshot`
    Clone,
    /// `send`
    Send,
    /// `receive`
    Receive,
    /// `partial`
    Partial,
    /// `usage`
    Usage,
}

#[derive(Debug)]
enum Fault {
    Fail(String),
    Hang { reached: oneshot::Sender<()>, released: oneshot::Receiver<()> },
}

/// What is planned, in order for each verb.
#[derive(Debug, Default)]
pub(super) struct Faults {
    planned: Mutex<HashMap<Verb, VecDeque<Fault>>>,
    /// Those that hang.
    pub(super) calls: Calls,
}

/// A call that hangs; dropping this lets it go on.
#[derive(Debug)]
pub struct Hanging {
    reached: oneshot::Receiver<()>,
    released: oneshot::Sender<()>,
}

impl Hanging {
    /// Waits until the call has come to the point where it hangs.
    pub async fn reached(&mut self) {
        // An error says that the fake is gone, and then there is nothing to wait for.
        let _ = (&mut self.reached).await;
    }

    /// Lets the call go on.
    pub fn release(self) {
        let _ = self.released.send(());
    }
}

impl Faults {
    pub(super) fn fail(&self, verb: Verb, stderr: &str) {
        self.push(verb, Fault::Fail(stderr.to_owned()));
    }

    pub(super) fn hang(&self, verb: Verb) -> Hanging {
        let (at, reached) = oneshot::channel();
        let (release, released) = oneshot::channel();
        self.push(verb, Fault::Hang { reached: at, released });
        Hanging { reached, released: release }
    }

    /// Where each call passes.
    pub(super) async fn gate(&self, verb: Verb) -> Result<(), ZfsFailure> {
        match self.pop(verb) {
            None => Ok(()),
            Some(Fault::Fail(stderr)) => {
                Err(ZfsFailure::Unexpected { command: format!("planned fault in {verb:?}"), stderr })
            }
            Some(Fault::Hang { reached, released }) => {
                let _waiting = self.calls.begin(&format!("{verb:?}"));
                let _ = reached.send(());
                let _ = released.await;
                Ok(())
            }
        }
    }

    fn push(&self, verb: Verb, fault: Fault) {
        self.planned.lock().entry(verb).or_default().push_back(fault);
    }

    fn pop(&self, verb: Verb) -> Option<Fault> {
        self.planned.lock().get_mut(&verb)?.pop_front()
    }
}
