//! Inspecting images, making overlays, the NBD export, the cache writer, capturing and adopting, with the real QEMU.
//! Needs QEMU, no root and no guest images: guests are boot sectors made here.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "all of this is tests")]

#[path = "capture/adopt.rs"]
mod adopt;
#[path = "capture/cache.rs"]
mod cache;
#[path = "capture/confined.rs"]
mod confined;
#[path = "capture/export.rs"]
mod export;
#[path = "capture/formats.rs"]
mod formats;
#[path = "capture/guest.rs"]
mod guest;
#[path = "capture/hostile.rs"]
mod hostile;
#[path = "capture/inspect.rs"]
mod inspect;
#[path = "capture/profiles.rs"]
mod profiles;
#[path = "capture/verb.rs"]
mod verb;
