//! The arguments of verbs about VMs' disks on this node.

use super::super::completion::{self, Known};
use bootstash_base::file_owner::FileOwner;
use bootstash_base::names::ImageName;
use bootstash_base::names::NameError;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::str::FromStr;

/// Overlay verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum OverlayVerb {
    /// Make a copy-on-write disk for one VM, chained on an image's boot cache
    Create(OverlayCreateArgs),
    /// Delete an overlay, and the view it kept where it was the last
    Remove(OverlayRemoveArgs),
}

/// `overlay create`
#[derive(Debug, Args)]
pub(crate) struct OverlayCreateArgs {
    /// The image to boot: its name, or the path of its file
    #[arg(add = completion::of(Known::Images))]
    pub(crate) image: WhichImage,
    /// The file to make; where it is such an overlay already, it stays as it is
    pub(crate) path: PathBuf,
    /// Size of its disk, as 40G; at least the image's, which is the default
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub(crate) size: Option<u64>,
    /// Who the file is to belong to, as libvirt-qemu:kvm; by default who asks
    #[arg(long, value_name = "USER[:GROUP]")]
    pub(crate) owner: Option<FileOwner>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// An image, as a person or a program knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WhichImage {
    /// By its registered name.
    Named(ImageName),
    /// By its file; a path has a slash, and no name has.
    OfFile(PathBuf),
}

impl FromStr for WhichImage {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.contains('/') { Ok(Self::OfFile(text.into())) } else { text.parse().map(Self::Named) }
    }
}

/// `pin`
#[derive(Debug, Args)]
pub(crate) struct PinArgs {
    /// The disk: a qcow2 file whose chain ends in the file of a registered image
    pub(crate) disk: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `unpin`
#[derive(Debug, Args)]
pub(crate) struct UnpinArgs {
    /// The disk
    #[arg(add = completion::of(Known::Overlays))]
    pub(crate) disk: PathBuf,
}

/// `overlay remove`
#[derive(Debug, Args)]
pub(crate) struct OverlayRemoveArgs {
    /// The overlay
    #[arg(add = completion::of(Known::Overlays))]
    pub(crate) path: PathBuf,
}

/// `adopt`
#[derive(Debug, Args)]
pub(crate) struct AdoptArgs {
    /// The overlay, in a directory that both nodes see under the same path
    pub(crate) path: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// As QEMU's programs read sizes: K, M, G and T are powers of 1,024.
fn bytes(text: &str) -> Result<u64, String> {
    let binary = parse_size::Config::new().with_binary();
    binary.parse_size(text).map_err(|error| format!("{error}; write it as 40G"))
}
