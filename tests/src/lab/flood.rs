//! A host on the lab's network that floods a multicast group: with what it hears, changed, and with noise.

use super::Host;
use super::namespaces::Namespaces;
use anyhow::{Context, Result};
use bootstash_multicast::Group;
use bootstash_multicast::socket::{Interface, ReceiverSocket, SenderSocket};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// A datagram as long as the usual ones.
const NOISE_BYTES: usize = 1440;
const KEPT_MAX: usize = 4096;
const LISTEN: Duration = Duration::from_millis(10);

/// Floods until it is dropped.
#[derive(Debug)]
pub struct Flood {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Flood {
    /// Starts on this host, with N bytes a second.
    pub fn begin(host: &Host, group: Group, bytes_per_second: u64) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = Namespaces::NetworkOf(host.init)
            .thread(move || flood(group, bytes_per_second, &stopped, &count).map_err(io::Error::other));
        Self { stop, sent, thread: Some(thread) }
    }

    /// Ends it; gives how many bytes were sent.
    ///
    /// # Errors
    /// When it could not send.
    pub fn end(mut self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().context("it runs")?.join();
        ended.map_err(|_| anyhow::anyhow!("the flood's thread died"))??;
        Ok(self.sent.load(Ordering::Relaxed))
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn flood(group: Group, bytes_per_second: u64, stop: &AtomicBool, sent: &AtomicU64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    let interface = Interface::named("eth0")?;
    let (mut receiver, sender) =
        (ReceiverSocket::open(group, &interface)?, SenderSocket::open(group, &interface, 1)?);
    let (start, mut real) = (Instant::now(), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let listening = receiver.receive(|datagram| keep(&mut real, datagram));
        let _ = runtime.block_on(async { timeout(LISTEN, listening).await });
        let due = start.elapsed().as_secs_f64() * bytes_per_second as f64;
        while (sent.load(Ordering::Relaxed) as f64) < due {
            for datagram in forgeries(&real) {
                sender.send(&datagram, datagram.len())?;
                sent.fetch_add(datagram.len() as u64, Ordering::Relaxed);
            }
        }
    }
    Ok(())
}

/// Some of those of a session, old ones too.
fn keep(real: &mut Vec<Vec<u8>>, datagram: &[u8]) {
    let noise = datagram.iter().skip(8).all(|byte| *byte == 0);
    if datagram.len() == NOISE_BYTES && !noise && real.len() < KEPT_MAX {
        real.push(datagram.to_vec());
    }
}

/// One that was heard: again, with a bit changed, cut, of another session, with another index; and noise.
fn forgeries(real: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut noise = vec![0; NOISE_BYTES];
    noise[..8].copy_from_slice(&fastrand::u64(..).to_be_bytes());
    let Some(heard) = fastrand::choice(real) else { return vec![noise] };
    let changed = |at: usize| {
        let mut datagram = heard.clone();
        if let Some(byte) = datagram.get_mut(at) {
            *byte ^= 1 << fastrand::u8(..8);
        }
        datagram
    };
    let cut = heard[..fastrand::usize(..heard.len())].to_vec();
    let all = vec![heard.clone(), changed(20), cut, changed(3), changed(15), noise];
    all.into_iter().filter(|datagram| !datagram.is_empty()).collect()
}
