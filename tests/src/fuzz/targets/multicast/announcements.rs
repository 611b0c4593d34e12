//! Announcements as JSON, and what else the registrar tells a node: whatever is accepted can be worked with.

use super::{LENGTH, Session, announcement, object};
use crate::fuzz::{Reader, Verdict};
use anyhow::ensure;
use bootstash_multicast::{Announcement, Instruction, RateLimits, Receiver, Sender};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Instant;

pub(in crate::fuzz::targets) fn announcements() -> Vec<Vec<u8>> {
    let (whole, short) = (object(0), object(0)[..LENGTH / 2].to_vec());
    let made = [(Session::First, whole), (Session::Next, short)];
    let made = made.into_iter().filter_map(|(session, object)| announcement(session, &object).ok());
    let told = made.clone().map(|next| Instruction::Rekey(Box::new(next)));
    let told = told.chain([Instruction::Fetch(vec![0, 3, 4]), Instruction::FetchAll]);
    let texts = made.map(|one| serde_json::to_vec(&one)).chain(told.map(|one| serde_json::to_vec(&one)));
    texts.filter_map(Result::ok).collect()
}

pub(in crate::fuzz::targets) fn open_announcements() -> Reader {
    let now = Instant::now();
    Box::new(move |text| {
        let told = serde_json::from_slice::<Instruction>(text);
        if let Ok(told) = &told {
            let again: Instruction = serde_json::from_slice(&serde_json::to_vec(told)?)?;
            ensure!(again == *told, "written again it is another");
            let receiver = Arc::new(announcement(Session::First, &object(0))?);
            Receiver::new(receiver, 0.5, now).handle_instruction(told);
            return Ok(Verdict::Accepted);
        }
        let read = serde_json::from_slice::<Announcement>(text);
        if let Ok(announcement) = &read {
            check(announcement, now)?;
        }
        Ok(Verdict::of(&read))
    })
}

fn check(announcement: &Announcement, now: Instant) -> anyhow::Result<()> {
    let again: Announcement = serde_json::from_slice(&serde_json::to_vec(announcement)?)?;
    ensure!(again == *announcement, "written again it is another");
    let layout = *announcement.layout();
    let mut end = 0;
    for block in 0..layout.blocks() {
        let range = layout.range(block);
        ensure!(range.start == end && range.end > end, "block {block} is at {range:?}");
        ensure!(layout.source_symbols(block) <= layout.full_source_symbols(), "block {block} is too long");
        end = range.end;
    }
    ensure!(end == layout.length(), "blocks end at {end}");
    let limits = RateLimits::up_to(NonZeroU64::MIN.saturating_add(1_000_000));
    let mut sender = Sender::new(announcement, limits, ["n1".parse()?], now);
    ensure!(sender.poll_transmit(now).is_some(), "it has nothing to send");
    let mut receiver = Receiver::new(Arc::new(again), 0.5, now);
    for length in [0, 44, 32 + layout.symbol_bytes()] {
        ensure!(receiver.handle_datagram(now, &mut vec![0; length]).is_err(), "zeros are taken");
    }
    Ok(())
}
