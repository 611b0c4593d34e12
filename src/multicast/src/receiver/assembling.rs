//! Blocks of which enough came: given to be assembled, and what becomes of them.

use super::Receiver;
use super::blocks::Bad;
use super::event::ReceiverEvent;
use crate::assembly::{Assembled, Assembly};
use crate::report::ReceiverStatus;
use std::sync::Arc;
use std::time::Instant;

impl Receiver {
    /// Takes what became of a block; one of another session counts for nothing.
    pub fn handle_assembled(&mut self, now: Instant, assembled: Assembled) {
        let Assembled { session, block, by_multicast, bytes } = assembled;
        if session != self.announcement.session() {
            return;
        }
        let Some(closed) = self.blocks.close(block) else { return };
        if closed.was_fetched {
            self.fetches.ended();
        }
        match bytes {
            Some(bytes) => self.give_out(now, block, bytes),
            None => self.drop_bad(now, block, by_multicast),
        }
        self.start_fetches();
    }

    pub(super) fn assemble_if_enough(&mut self, block: u32) {
        if let Some(complete) = self.blocks.take_complete(block) {
            self.fetches.remove(block);
            let assembly = Assembly::new(Arc::clone(&self.announcement), block, complete);
            self.events.push_back(ReceiverEvent::Assemble(assembly));
        }
    }

    fn give_out(&mut self, now: Instant, block: u32, bytes: Vec<u8>) {
        let offset = self.announcement.layout().range(block).start;
        self.blocks.set_done(block);
        self.events.push_back(ReceiverEvent::Block { offset, bytes });
        if self.blocks.are_all_done() {
            self.status = ReceiverStatus::Done;
            self.reports.hurry(now);
            self.events.push_back(ReceiverEvent::Done);
        }
    }

    fn drop_bad(&mut self, now: Instant, block: u32, by_multicast: bool) {
        let bad = self.blocks.set_bad(block);
        if !by_multicast {
            self.events.push_back(ReceiverEvent::Failed { block });
            return;
        }
        self.counters.bad_blocks += 1;
        self.fetch(block);
        if bad == Bad::Forged && self.keys.count_forged(now) {
            self.reports.hurry(now);
        }
    }
}
