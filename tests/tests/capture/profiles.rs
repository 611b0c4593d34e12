//! An image that comes up on some hardware and not on other.

use bootstash_daemon::config::CaptureConfig;
use bootstash_delta::catalog::Confidence;
use bootstash_net::api::{CaptureChoices, Progress};
use bootstash_qemu::{AcceleratorChoice, Qemu};
use bootstash_registrar::capture::{Boots, CaptureError, CaptureRequest, Captured, GuestSlots, capture};
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const DISK_BYTES: u64 = 1 << 20;
const LOGIN_AT: usize = 80;
const PANIC_AT: usize = 120;

/// Asks which host bridge the machine has: on that of `pc` it panics, on others it shows a login prompt.
#[rustfmt::skip]
const CODE: [u8; 49] = [
    0x31, 0xc0, 0x8e, 0xd8,             // xor ax, ax; mov ds, ax
    0x66, 0xb8, 0x00, 0x00, 0x00, 0x80, // mov eax, 0x80000000 (first register of the first device)
    0xba, 0xf8, 0x0c, 0x66, 0xef,       // mov dx, 0xcf8; out dx, eax
    0xba, 0xfc, 0x0c, 0x66, 0xed,       // mov dx, 0xcfc; in eax, dx
    0x66, 0xc1, 0xe8, 0x10,             // shr eax, 16
    0x3d, 0x37, 0x12,                   // cmp ax, 0x1237 (i440fx)
    0xbe, LOGIN_AT as u8, 0x7c,         // mov si, login
    0x75, 0x03,                         // jne print
    0xbe, PANIC_AT as u8, 0x7c,         // mov si, panic
    0xac,                               // print: lodsb
    0x84, 0xc0, 0x74, 0x06,             // test al, al; jz halt
    0xba, 0xf8, 0x03, 0xee,             // mov dx, 0x3f8; out dx, al
    0xeb, 0xf5,                         // jmp print
    0xf4, 0xeb, 0xfd,                   // halt: hlt; jmp halt
];

fn write_disk(path: &Path) {
    let mut sector = [0; 512];
    sector[..CODE.len()].copy_from_slice(&CODE);
    // Twice: under load the last of what the BIOS says can come in the middle of the first.
    for (at, text) in [
        (LOGIN_AT, &b"\r\nhost login: \r\nhost login: "[..]),
        (PANIC_AT, b"\r\nKernel panic - not syncing: VFS\r\n"),
    ] {
        sector[at..at + text.len()].copy_from_slice(text);
    }
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    let disk = std::fs::File::create_new(path).unwrap();
    disk.set_len(DISK_BYTES).unwrap();
    disk.write_all_at(&sector, 0).unwrap();
}

async fn captured_on(profiles: &str) -> Result<Captured, CaptureError> {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("base.raw");
    write_disk(&image);
    let qemu = Qemu::find().unwrap();
    let config = CaptureConfig {
        accelerator: AcceleratorChoice::Tcg,
        profiles: profiles.parse().unwrap(),
        quiet: Duration::from_secs(1),
        boot_timeout: Duration::from_secs(90),
        memory_mib: 64,
        ..CaptureConfig::default()
    };
    let request = CaptureRequest {
        image: qemu.inspect(&image, None).await.unwrap(),
        work_dir: dir.path().join("work"),
        config,
        choices: CaptureChoices::default(),
        boots: Boots::All,
        slots: GuestSlots::new(NonZeroUsize::MIN),
    };
    capture(&qemu, &request, &watch::Sender::new(Progress::default()), &CancellationToken::new()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hardware_that_an_image_does_not_come_up_on_is_left_out_and_told() {
    let captured = captured_on("libvirt,openstack").await.unwrap();
    let booted: Vec<_> = captured.boots.iter().filter_map(|boot| boot.profile.as_deref()).collect();
    assert_eq!(booted, ["libvirt", "libvirt"]);
    let unbooted: Vec<_> = captured.unbooted.iter().map(|unbooted| unbooted.profile.as_str()).collect();
    assert_eq!((unbooted, captured.confidence), (vec!["openstack"], Confidence::Low));
    assert!(captured.unbooted[0].why.contains("panic"), "{:?}", captured.unbooted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_comes_up_on_no_hardware_that_was_asked_for_is_an_error() {
    let error = captured_on("openstack").await.unwrap_err();
    assert!(matches!(error, CaptureError::NeverBooted { .. }), "{error}");
}
