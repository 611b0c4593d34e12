//! One warm boot: from an overlay as the product makes it, on the boot cache, on a base that refuses every read.

use crate::captured::{BOOT_LIMIT, CapturedImage};
use bootstash_disk::nbd::{Export, FailingSource};
use bootstash_qemu::{
    AcceleratorChoice, ConsoleText, DiskChain, HardwareProfile, Machine, MachineSpec, Place, Qemu,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Once it is up, a guest has done what it does at boot when it has read nothing for so long.
const QUIET: Duration = Duration::from_secs(10);
/// A guest that is up and reads for ever has booted all the same.
const QUIET_LIMIT: Duration = Duration::from_secs(120);
const CLUSTER_BYTES: u64 = 64 << 10;

/// What a boot did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WarmBoot {
    /// Whether a login prompt came.
    pub(crate) up: bool,
    /// From power-on to the prompt.
    pub(crate) seconds: f64,
    /// What it read of its disk, from whichever layer.
    pub(crate) disk_bytes: u64,
    /// What it asked of the base, in whole clusters.
    pub(crate) base_bytes: u64,
    /// Which clusters those are.
    pub(crate) clusters: Vec<u64>,
    /// The last lines of its console, where it did not come up.
    pub(crate) console: Option<String>,
}

/// Boots the image once.
pub(crate) async fn boot(image: &CapturedImage, profile: HardwareProfile) -> WarmBoot {
    let qemu = Qemu::find().unwrap();
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let place = Place::create_in(dir.path()).unwrap();
    let size_bytes = image.source.virtual_size_bytes;
    let export = Export::serve(place.listen("base").unwrap(), Arc::new(FailingSource { size_bytes }));
    qemu.create_overlay(&place.path().join("overlay"), &image.cache, size_bytes).await.unwrap();
    place.hand_over("overlay").unwrap();
    place.lend(&image.cache, "cache").unwrap();
    let spec = MachineSpec {
        accelerator: qemu.accelerator(AcceleratorChoice::Auto).await.unwrap(),
        profile,
        memory_mib: 1024,
        cpus: 2,
        time_limit: 2 * BOOT_LIMIT,
        overlay_max_bytes: 8 << 30,
        disk: DiskChain { overlay: "overlay", cache: Some("cache"), base_socket: "base" },
        firmware: image.source.firmware,
        seed: true,
    };
    let mut machine = qemu.start(&spec, place).await.unwrap();
    let started = Instant::now();
    let mut console = machine.console();
    let prompt = console.wait_for(ConsoleText::login_prompt);
    let up = matches!(tokio::time::timeout(BOOT_LIMIT, prompt).await, Ok(Ok(_)));
    let seconds = started.elapsed().as_secs_f64();
    let disk_bytes = until_quiet(&mut machine).await;
    let tail = machine.console().borrow().tail();
    machine.quit().await.unwrap();
    let clusters = export.trace().clusters();
    let base_bytes = clusters.len() as u64 * CLUSTER_BYTES;
    let console = (!up).then(|| format!("{tail:?}"));
    WarmBoot { up, seconds, disk_bytes, base_bytes, clusters, console }
}

/// Waits until the guest reads nothing more; gives what it has read.
async fn until_quiet(machine: &mut Machine) -> u64 {
    let started = Instant::now();
    let (mut bytes, mut since) = (0, started);
    while since.elapsed() < QUIET && started.elapsed() < QUIET_LIMIT {
        let now = machine.disk_traffic().await.unwrap().read_bytes;
        if now != bytes {
            (bytes, since) = (now, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    bytes
}
