//! What a receiver of multicast holds, by the allocator, on the worst that somebody with the key can send.

#![allow(clippy::unwrap_used, reason = "a test")]

use allocation_counter::measure;
use bootstash_multicast::{
    Announcement, BlockLayout, HELD_BYTES_MAX, Instruction, ObjectSource, Packer, Position, Receiver,
    ReceiverEvent, Transmit,
};
use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// Nothing but zeros.
struct Zeros;

impl ObjectSource for Zeros {
    fn read(&mut self, range: Range<u64>) -> io::Result<Vec<u8>> {
        Ok(vec![0; (range.end - range.start) as usize])
    }
}

fn announce(layout: BlockLayout) -> Announcement {
    let mut by_length = HashMap::new();
    let hash = |block| {
        let range = layout.range(block);
        let length = (range.end - range.start) as usize;
        *by_length.entry(length).or_insert_with(|| *blake3::hash(&vec![0; length]).as_bytes())
    };
    let hashes = (0..layout.blocks()).map(hash).collect();
    Announcement::new(layout, hashes, 12_500_000).unwrap()
}

/// A few datagrams at a time, so that only the receiver holds many.
struct Sealed {
    announcement: Arc<Announcement>,
    packer: Packer<Zeros>,
}

impl Sealed {
    fn new(layout: BlockLayout) -> Self {
        let announcement = announce(layout);
        let packer = Packer::new(announcement.clone(), Zeros).unwrap();
        Self { announcement: Arc::new(announcement), packer }
    }

    fn symbols(&mut self, block: u32, indexes: Range<u16>) -> Vec<Vec<u8>> {
        let symbols = indexes.map(|index| Transmit::Symbol(Position { block, index }));
        symbols.map(|symbol| self.packer.pack(&symbol).unwrap()).collect()
    }
}

/// The receiver at work: what each step left allocated, and the most of all.
struct Measured {
    receiver: Receiver,
    now: Instant,
    held: i64,
    most: i64,
    whole: u32,
}

impl Measured {
    fn new(announcement: &Arc<Announcement>) -> Self {
        let (now, mut receiver) = (Instant::now(), None);
        // It is handed the announcement, which counts as its own.
        let hashes = i64::from(announcement.layout().blocks()) * 32;
        let made = measure(|| receiver = Some(Receiver::new(Arc::clone(announcement), 0.5, now)));
        let receiver = receiver.unwrap();
        Self { receiver, now, held: made.bytes_current + hashes, most: 0, whole: 0 }
    }

    fn fetch(&mut self, blocks: Vec<u32>) {
        let receiver = &mut self.receiver;
        let step = measure(|| receiver.handle_instruction(&Instruction::Fetch(blocks)));
        self.held += step.bytes_current;
    }

    fn take(&mut self, datagrams: &mut [Vec<u8>]) {
        let (receiver, now, whole) = (&mut self.receiver, self.now, &mut self.whole);
        let step = measure(|| {
            for datagram in datagrams {
                receiver.handle_datagram(now, datagram).ok();
                while let Some(event) = receiver.poll_event() {
                    match event {
                        ReceiverEvent::Assemble(assembly) => receiver.handle_assembled(now, assembly.run()),
                        ReceiverEvent::Block { .. } => *whole += 1,
                        _ => {}
                    }
                }
            }
        });
        self.most = self.most.max(self.held + step.bytes_max as i64);
        self.held += step.bytes_current;
    }
}

/// All open that may be open, something of every block, and then a block that is made whole from repair.
fn most(layout: BlockLayout, touched: u32) -> i64 {
    let mut sealed = Sealed::new(layout);
    let mut receiver = Measured::new(&sealed.announcement);
    let (full, all) = (layout.full_source_symbols(), layout.symbols(0));
    // Room that is kept for unicast is taken too.
    receiver.fetch(vec![0, 1, 2]);
    for block in 0..touched.min(70) {
        // As much repair as there is, and all but one of what is enough.
        receiver.take(&mut sealed.symbols(block, all - full..all - 1));
    }
    for block in 70..touched {
        receiver.take(&mut sealed.symbols(block, 0..1));
    }
    assert_eq!(receiver.whole, 0);
    let open = receiver.most;
    for block in 0..3 {
        receiver.take(&mut sealed.symbols(block, all - 1..all));
    }
    assert_eq!(receiver.whole, 3, "nothing was assembled");
    println!("{layout:?}, {touched} blocks touched: {open} bytes, {} with an assembly", receiver.most);
    receiver.most
}

#[test]
fn it_is_at_most_what_was_promised() {
    let layout = |blocks: u64, symbol: u16, source: u16, repair: u16| {
        BlockLayout::new(blocks * u64::from(source) * u64::from(symbol), symbol, source, repair).unwrap()
    };
    // The usual cut; the largest account of the smallest symbols; the largest blocks, and symbols.
    let cases = [
        (layout(16_384, 1408, 1024, 256), 400),
        (layout(16_384, 64, 4096, 1024), 16_384),
        (layout(16_384, 384, 4096, 1024), 1000),
        (layout(1000, 8896, 190, 45), 400),
        (layout(1000, 1408, 500, 900), 400),
        (layout(1000, 1408, 1025, 256), 400),
        (layout(1000, 128, 4096, 1024), 400),
    ];
    for (layout, touched) in cases {
        let most = most(layout, touched);
        assert!(most > 1_000_000 && most <= HELD_BYTES_MAX as i64, "{layout:?}: {most}");
    }
}
