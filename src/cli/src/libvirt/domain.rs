//! A domain as libvirt describes it: which disks it has, which of them could boot from a boot cache, and what its
//! metadata say of bootstash. Pure.

use bootstash_base::error::Classified;
use bootstash_base::names::{ImageName, NameError};
use roxmltree::{Document, Node};
use std::fmt;
use std::path::PathBuf;

/// The namespace of our elements in a domain's metadata.
pub(crate) const NAMESPACE: &str = "https://bootstash.org/libvirt/1";

/// A text is no domain.
#[derive(Debug, thiserror::Error, Classified)]
#[class(permanent)]
pub(crate) enum DomainError {
    /// It is no XML.
    #[error("the domain's XML cannot be read")]
    Xml(#[from] roxmltree::Error),
    /// It is about something else.
    #[error("the XML is of no domain, but of <{0}>")]
    Other(String),
    /// Its metadata name an impossible image.
    #[error("the domain's metadata name an image")]
    Image(#[from] NameError),
}

/// A domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Domain {
    pub(crate) name: String,
    /// Its metadata have `<cache mode='off'/>`.
    pub(crate) turned_off: bool,
    /// The image that its metadata name, for a disk whose file is to be made.
    pub(crate) image: Option<ImageName>,
    /// Disks; no CDs and floppies.
    pub(crate) disks: Vec<Disk>,
}

/// One of its disks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    /// As the guest's side is called: `vda`.
    pub(crate) target: String,
    /// Its file, where it is one.
    pub(crate) file: Option<PathBuf>,
    /// The files below it that the XML names, from the top: libvirt writes down what a snapshot was made of, and looks for
    /// itself from there on.
    pub(crate) described: Vec<PathBuf>,
    /// Whether it could boot from a boot cache at all.
    pub(crate) unfit: Option<Unfit>,
}

/// Why a disk is none that could boot from a boot cache, or is left to whoever described it in detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// A volume, a device, something on a network.
    NotAFile,
    /// Another format, or none that is said.
    NotQcow2(String),
    /// It is never written to.
    ReadOnly,
    /// Several VMs write to it.
    Shareable,
    /// It needs a secret.
    Encrypted,
    /// Its chain is written down, to its end or otherwise than its files have it.
    BackingStore,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAFile => f.write_str("it is no file"),
            Self::NotQcow2(format) => write!(f, "its format is {format}, not qcow2"),
            Self::ReadOnly => f.write_str("it is <readonly/>"),
            Self::Shareable => f.write_str("it is <shareable/>"),
            Self::Encrypted => f.write_str("it is encrypted"),
            Self::BackingStore => f.write_str("the domain's XML has a <backingStore> that settles its chain"),
        }
    }
}

impl Domain {
    /// Reads libvirt's XML.
    pub(crate) fn parse(xml: &str) -> Result<Self, DomainError> {
        let document = Document::parse(xml)?;
        let domain = document.root_element();
        if !domain.has_tag_name("domain") {
            return Err(DomainError::Other(domain.tag_name().name().to_owned()));
        }
        let image = ours(domain, "image").and_then(|image| image.attribute("name"));
        let turned_off = ours(domain, "cache").is_some_and(|cache| cache.attribute("mode") == Some("off"));
        let name = child(domain, "name").and_then(|name| name.text()).unwrap_or_default().trim().to_owned();
        let devices = children(domain, "devices").flat_map(|devices| children(devices, "disk"));
        let disks = devices.filter(|disk| is_disk(*disk)).map(Disk::read).collect();
        Ok(Self { name, turned_off, image: image.map(str::parse).transpose()?, disks })
    }
}

impl Disk {
    fn read(disk: Node<'_, '_>) -> Self {
        let attribute = |of, name| child(disk, of).and_then(|found| found.attribute(name));
        let target = attribute("target", "dev").unwrap_or_default().to_owned();
        let is_file = disk.attribute("type") == Some("file");
        let file = attribute("source", "file").filter(|_| is_file).map(PathBuf::from);
        let described = described(disk);
        let unfit = unfit(disk, file.is_some(), described.is_some(), attribute("driver", "type"));
        Self { target, file, described: described.unwrap_or_default(), unfit }
    }
}

fn unfit(disk: Node<'_, '_>, is_file: bool, is_open: bool, format: Option<&str>) -> Option<Unfit> {
    let has = |name| child(disk, name).is_some();
    let encrypted = || child(disk, "source").is_some_and(|source| child(source, "encryption").is_some());
    // libvirt takes a format that is not said for raw.
    match format.unwrap_or("raw") {
        _ if !is_file => Some(Unfit::NotAFile),
        other if other != "qcow2" => Some(Unfit::NotQcow2(other.to_owned())),
        _ if has("readonly") => Some(Unfit::ReadOnly),
        _ if has("shareable") => Some(Unfit::Shareable),
        _ if has("encryption") || encrypted() => Some(Unfit::Encrypted),
        _ if !is_open => Some(Unfit::BackingStore),
        _ => None,
    }
}

/// The files that the XML names below a disk's own; none where it says that the chain ends there (an empty element), or
/// goes on in something else than a file.
fn described(disk: Node<'_, '_>) -> Option<Vec<PathBuf>> {
    let (mut files, mut above) = (Vec::new(), disk);
    while let Some(below) = child(above, "backingStore") {
        files.push(child(below, "source")?.attribute("file")?.into());
        above = below;
    }
    Some(files)
}

fn is_disk(disk: Node<'_, '_>) -> bool {
    matches!(disk.attribute("device"), None | Some("disk"))
}

fn child<'a, 'input>(of: Node<'a, 'input>, name: &'static str) -> Option<Node<'a, 'input>> {
    children(of, name).next()
}

fn children<'a, 'input>(of: Node<'a, 'input>, name: &'static str) -> impl Iterator<Item = Node<'a, 'input>> {
    of.children().filter(move |child| child.has_tag_name(name))
}

/// An element of ours in the metadata.
fn ours<'a, 'input>(domain: Node<'a, 'input>, name: &'static str) -> Option<Node<'a, 'input>> {
    let mut found = children(domain, "metadata").flat_map(|metadata| metadata.children());
    found.find(|child| child.has_tag_name((NAMESPACE, name)))
}

#[cfg(test)]
mod tests;
