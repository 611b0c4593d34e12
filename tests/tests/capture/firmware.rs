//! Real images, and the firmware that boots them. Each boot takes a minute or two of emulation.

use bootstash_daemon::config::CaptureConfig;
use bootstash_delta::catalog::BootSignal;
use bootstash_disk::Source;
use bootstash_disk::firmware::Firmware;
use bootstash_disk::nbd::{Export, FailingSource};
use bootstash_net::api::{CaptureChoices, Progress};
use bootstash_qemu::{Accelerator, AcceleratorChoice, DiskChain, HardwareProfile, MachineSpec, Place, Qemu};
use bootstash_registrar::capture::{Boots, CaptureRequest, Captured, GuestSlots, capture, verify};
use bootstash_tests::lab::plan::images_cache;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What only a fault exceeds, on a machine that does other things as well.
const BOOT_LIMIT: Duration = Duration::from_secs(900);
const MEMORY_MIB: u32 = 512;

/// A guest image as `make images` leaves it.
fn image(name: &str) -> PathBuf {
    let path = images_cache().join(format!("{name}.raw"));
    assert!(path.exists(), "{} is not there; make it: tests/ground/images.sh {name}", path.display());
    path
}

pub(crate) async fn inspected(name: &str) -> Source {
    Qemu::find().unwrap().inspect(&image(name), None).await.unwrap()
}

async fn captured(image: Source, work_dir: &Path) -> Captured {
    let config = CaptureConfig { memory_mib: MEMORY_MIB, ..CaptureConfig::default() };
    let choices = CaptureChoices { no_seed: true, ..CaptureChoices::default() };
    captured_with(image, work_dir, config, choices, &watch::Sender::default()).await
}

pub(crate) async fn captured_with(
    image: Source,
    work_dir: &Path,
    config: CaptureConfig,
    choices: CaptureChoices,
    progress: &watch::Sender<Progress>,
) -> Captured {
    let config = CaptureConfig {
        accelerator: AcceleratorChoice::Tcg,
        boot_timeout: BOOT_LIMIT,
        profiles: HardwareProfile::Libvirt.into(),
        ..config
    };
    let slots = GuestSlots::of_this_host();
    let request =
        CaptureRequest { image, work_dir: work_dir.to_owned(), config, choices, slots, boots: Boots::All };
    capture(&Qemu::find().unwrap(), &request, progress, &CancellationToken::new()).await.unwrap()
}

/// Boots from the cache over a base that refuses every read, to a login prompt; says which clusters of the base the
/// guest tried to read.
async fn warm_boot(cache: &Path, image: &Source) -> Vec<u64> {
    let qemu = Qemu::find().unwrap();
    let dir = cache.parent().unwrap();
    let place = Place::create_in(dir).unwrap();
    let base = Arc::new(FailingSource { size_bytes: image.virtual_size_bytes });
    let export = Export::serve(place.listen("base").unwrap(), base);
    qemu.create_overlay(&place.path().join("overlay"), cache, image.virtual_size_bytes).await.unwrap();
    place.hand_over("overlay").unwrap();
    place.lend(cache, "cache").unwrap();
    let spec = MachineSpec {
        accelerator: Accelerator::Tcg,
        profile: HardwareProfile::Libvirt,
        memory_mib: MEMORY_MIB,
        cpus: 1,
        time_limit: BOOT_LIMIT,
        overlay_max_bytes: 1 << 30,
        disk: DiskChain { overlay: "overlay", cache: Some("cache"), base_socket: "base" },
        firmware: image.firmware,
        seed: false,
    };
    let machine = qemu.start(&spec, place).await.unwrap();
    let mut console = machine.console();
    let up = console.wait_for(|text| text.login_prompt() || text.fatal().is_some());
    let prompt = tokio::time::timeout(BOOT_LIMIT, up).await.unwrap().unwrap().login_prompt();
    assert!(prompt, "it did not come up: {:?}", machine.console().borrow().tail());
    machine.quit().await.unwrap();
    export.trace().clusters()
}

/// Where a cache and its overlays have room: a directory in memory has not on every machine.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/var/tmp").unwrap()
}

#[tokio::test]
async fn the_firmware_of_real_images_is_recognised() {
    for (name, firmware) in
        [("alpine", Firmware::Bios), ("debian12", Firmware::Bios), ("alpine-uefi", Firmware::Uefi)]
    {
        assert_eq!(inspected(name).await.firmware, firmware, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_for_uefi_alone_is_captured_and_boots_without_its_base() {
    let (dir, image) = (scratch(), inspected("alpine-uefi").await);
    assert_eq!(image.firmware, Firmware::Uefi);
    let captured = captured(image.clone(), dir.path()).await;
    assert!(captured.boots.iter().all(|boot| boot.signal == BootSignal::LoginPrompt), "{:?}", captured.boots);
    verify(&Qemu::find().unwrap(), &captured.cache, &image).await.unwrap();
    assert_eq!(warm_boot(&captured.cache, &image).await, Vec::<u64>::new());
}
