//! Inspecting images, making overlays, the NBD export, the cache writer, capturing and adopting, with the real QEMU.
//! Needs QEMU and no root; guests are boot sectors made here, but for those of `firmware`, which are those of `make images`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "all of this is tests")]

#[path = "capture/adopt.rs"]
mod adopt;
#[path = "capture/cache.rs"]
mod cache;
#[path = "capture/cloud.rs"]
mod cloud;
#[path = "capture/confined.rs"]
mod confined;
#[path = "capture/export.rs"]
mod export;
#[path = "capture/firmware.rs"]
mod firmware;
#[path = "capture/follow_up.rs"]
mod follow_up;
#[path = "capture/formats.rs"]
mod formats;
#[path = "capture/guest.rs"]
mod guest;
#[path = "capture/hook.rs"]
mod hook;
#[path = "capture/hostile.rs"]
mod hostile;
#[path = "capture/inspect.rs"]
mod inspect;
#[path = "capture/overlay.rs"]
mod overlay;
#[path = "capture/profiles.rs"]
mod profiles;
#[path = "capture/verb.rs"]
mod verb;
