//! One sender and two receivers in one process, over loopback: one object to both, although one of them loses every
//! twentieth datagram. Run it with `cargo run --example loopback -p bootstash-multicast`.
//!
//! It shows how the machines are driven. What a program must bring is a channel between each receiver and the sender
//! that authenticates both (here a queue in memory), and a way to fetch ranges of the object by unicast (here the
//! object itself).

use bootstash_base::names::NodeName;
use bootstash_multicast::socket::{Interface, ReceiverSocket, SenderSocket};
use bootstash_multicast::{
    Announcement, BlockLayout, Group, Instruction, ObjectSource, Packer, RateLimits, Receiver, ReceiverEvent,
    Report, Sender, SenderEvent, Transmit,
};
use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::net::UdpSocket;
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep_until, timeout_at};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const OBJECT_BYTES: usize = 12_000_000;
const BYTES_PER_SECOND: NonZeroU64 = NonZeroU64::new(12_500_000).unwrap();

/// A report on its way to the sender, and where the answer goes.
struct Reported {
    node: NodeName,
    report: Report,
    answer: oneshot::Sender<Vec<Instruction>>,
}

/// Where the sender reads the object from.
struct Object(Arc<Vec<u8>>);

impl ObjectSource for Object {
    fn read(&mut self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let bytes = self.0.get(range.start as usize..range.end as usize);
        bytes.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let object: Arc<Vec<u8>> = Arc::new((0..OBJECT_BYTES).map(|at| (at * 7 / 3) as u8).collect());
    let (group, interface) = (free_group()?, Interface::named("lo")?);
    let announcement = announce(&object)?;
    println!("{} bytes in {} blocks to {group}", object.len(), announcement.layout().blocks());

    let (reports, reported) = mpsc::channel(16);
    let node = |name: &str, drop_every: u64| -> Result<Node> {
        let socket = ReceiverSocket::open(group, &interface)?;
        let receiver = Receiver::new(Arc::new(announcement.clone()), 0.5, Instant::now());
        let (object, reports) = (Arc::clone(&object), reports.clone());
        Ok(Node { name: name.parse()?, socket, receiver, drop_every, object, reports, copy: Vec::new() })
    };
    let (one, two) = (node("one", u64::MAX)?, node("two", 20)?);
    let sending =
        send(&announcement, SenderSocket::open(group, &interface, 1)?, Arc::clone(&object), reported);
    tokio::try_join!(sending, one.receive(), two.receive())?;
    Ok(())
}

/// A group on a port that nobody uses.
fn free_group() -> Result<Group> {
    let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
    Ok(format!("239.77.66.1:{port}").parse()?)
}

/// What both sides must know; to be told over a channel that keeps it secret, as the key is in it.
fn announce(object: &[u8]) -> Result<Announcement> {
    let layout = BlockLayout::standard(object.len() as u64)?;
    let block = |number| {
        let range = layout.range(number);
        &object[range.start as usize..range.end as usize]
    };
    let hashes = (0..layout.blocks()).map(|number| *blake3::hash(block(number)).as_bytes()).collect();
    Ok(Announcement::new(layout, hashes, BYTES_PER_SECOND.get())?)
}

async fn send(
    announcement: &Announcement,
    socket: SenderSocket,
    object: Arc<Vec<u8>>,
    mut reported: mpsc::Receiver<Reported>,
) -> Result<()> {
    let (start, nodes) = (Instant::now(), ["one".parse()?, "two".parse()?]);
    let mut sender = Sender::new(announcement, RateLimits::up_to(BYTES_PER_SECOND), nodes, start);
    let mut packer = Packer::new(announcement.clone(), Object(object))?;
    let mut answers: HashMap<NodeName, Vec<Instruction>> = HashMap::new();
    while let Some(wake) = sender.poll_timeout() {
        while let Some(transmit) = sender.poll_transmit(Instant::now()) {
            let datagram = packer.pack(&transmit)?;
            socket.send(&datagram, datagram.len())?;
            if matches!(transmit, Transmit::Heartbeat(_)) {
                // Others are to have their turn, in this one thread.
                tokio::task::yield_now().await;
            }
        }
        while let Some(event) = sender.poll_event() {
            match event {
                SenderEvent::Fetch { node, blocks } => {
                    answers.entry(node).or_default().push(Instruction::Fetch(blocks));
                }
                SenderEvent::Demoted { node, .. } => {
                    answers.entry(node).or_default().push(Instruction::FetchAll);
                }
                event => println!("the sender says {event:?}"),
            }
        }
        if let Ok(Some(Reported { node, report, answer })) = timeout_at(wake.into(), reported.recv()).await {
            sender.handle_report(Instant::now(), &node, &report)?;
            // A node that is gone needs no answer.
            answer.send(answers.remove(&node).unwrap_or_default()).ok();
        }
    }
    let (source, repair) = (sender.source_symbols_sent(), sender.repair_symbols_sent());
    println!("sent {source} source and {repair} repair symbols in {:.2} s", start.elapsed().as_secs_f64());
    Ok(())
}

struct Node {
    name: NodeName,
    socket: ReceiverSocket,
    receiver: Receiver,
    /// The link to this node loses one in this number of datagrams.
    drop_every: u64,
    object: Arc<Vec<u8>>,
    reports: mpsc::Sender<Reported>,
    copy: Vec<u8>,
}

impl Node {
    async fn receive(mut self) -> Result<()> {
        self.copy = vec![0; self.object.len()];
        let mut datagrams = 0_u64;
        while !self.handle_events()? {
            self.report().await?;
            let wake = self.receiver.poll_timeout().ok_or("nothing more is to come")?;
            let (receiver, drop_every) = (&mut self.receiver, self.drop_every);
            let receiving = self.socket.receive(|datagram| {
                datagrams += 1;
                if !datagrams.is_multiple_of(drop_every) {
                    // What is refused is counted.
                    receiver.handle_datagram(Instant::now(), datagram).ok();
                }
            });
            tokio::select! {
                received = receiving => received?,
                () = sleep_until(wake.into()) => self.receiver.handle_timeout(Instant::now()),
            }
        }
        self.report().await?;
        let counters = self.receiver.counters();
        let lost = datagrams.checked_div(self.drop_every).unwrap_or(0);
        assert!(self.copy == *self.object, "the copy differs");
        println!(
            "node {} is done: {} datagrams used, {lost} lost on its link, {} bytes fetched by unicast",
            self.name, counters.taken, counters.unicast_bytes
        );
        Ok(())
    }

    /// Whether that was all.
    fn handle_events(&mut self) -> Result<bool> {
        while let Some(event) = self.receiver.poll_event() {
            match event {
                // A program with more to do runs this on a thread of its own.
                ReceiverEvent::Assemble(assembly) => {
                    self.receiver.handle_assembled(Instant::now(), assembly.run());
                }
                ReceiverEvent::Block { offset, bytes } => {
                    self.copy[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
                }
                ReceiverEvent::Fetch(ranges) => {
                    for range in ranges {
                        let bytes = &self.object[range.start as usize..range.end as usize];
                        self.receiver.handle_unicast(range.start, bytes)?;
                    }
                }
                ReceiverEvent::Left(why) => println!("node {} left multicast: {why:?}", self.name),
                ReceiverEvent::Failed { block } => return Err(format!("block {block} is damaged").into()),
                ReceiverEvent::Done => return Ok(true),
            }
        }
        Ok(false)
    }

    async fn report(&mut self) -> Result<()> {
        let Some(report) = self.receiver.poll_report(Instant::now()) else { return Ok(()) };
        let (answer, answered) = oneshot::channel();
        self.reports.send(Reported { node: self.name.clone(), report, answer }).await?;
        let instructions = answered.await?;
        instructions.iter().for_each(|instruction| self.receiver.handle_instruction(instruction));
        Ok(())
    }
}
