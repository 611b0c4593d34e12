//! Domains as programs write them.

use super::*;
use std::path::Path;

const VIRT_MANAGER: &str = include_str!("samples/virt-manager.xml");
const VIRT_INSTALL: &str = include_str!("samples/virt-install.xml");
const TERRAFORM: &str = include_str!("samples/terraform.xml");
const SNAPSHOTS: &str = include_str!("samples/snapshots.xml");

fn disk(target: &str, file: Option<&str>, unfit: Option<Unfit>) -> Disk {
    Disk { target: target.to_owned(), file: file.map(PathBuf::from), described: Vec::new(), unfit }
}

#[test]
fn a_disk_of_virt_manager_is_fit_and_its_cd_is_none() {
    let domain = Domain::parse(VIRT_MANAGER).unwrap();
    let file = "/var/lib/libvirt/images/debian12.qcow2";
    assert_eq!((domain.name.as_str(), domain.turned_off, domain.image), ("debian12", false, None));
    assert_eq!(domain.disks, [disk("vda", Some(file), None)]);
}

#[test]
fn virt_install_leaves_out_what_is_the_default_and_metadata_name_an_image() {
    let domain = Domain::parse(VIRT_INSTALL).unwrap();
    assert_eq!((domain.name.as_str(), domain.image), ("web & db", Some("alpine".parse().unwrap())));
    let raw = Some(Unfit::NotQcow2("raw".to_owned()));
    let expected = [
        disk("vda", Some("/srv/vms/web & db.qcow2"), None),
        disk("vdb", Some("/srv/vms/data.img"), raw),
        disk("vdc", None, Some(Unfit::NotAFile)),
    ];
    assert_eq!(domain.disks, expected);
}

#[test]
fn what_terraform_writes_has_volumes_and_our_metadata_count_by_their_namespace() {
    let domain = Domain::parse(TERRAFORM).unwrap();
    assert!(domain.turned_off);
    let expected = [
        disk("vda", None, Some(Unfit::NotAFile)),
        disk("vdb", Some("/var/lib/libvirt/images/seed.qcow2"), Some(Unfit::ReadOnly)),
        disk("vdc", Some("/srv/cluster.qcow2"), Some(Unfit::Shareable)),
        disk("vdd", Some("/srv/secret.qcow2"), Some(Unfit::Encrypted)),
    ];
    assert_eq!(domain.disks, expected);
    let without = TERRAFORM.replace("https://bootstash.org/libvirt/1", "https://example.org/other");
    assert!(!Domain::parse(&without).unwrap().turned_off);
}

#[test]
fn snapshots_are_fit_and_a_chain_that_is_described_to_its_end_is_not() {
    let disks = Domain::parse(SNAPSHOTS).unwrap().disks;
    let unfit: Vec<_> = disks.iter().map(|disk| disk.unfit.clone()).collect();
    assert_eq!(unfit, [None, Some(Unfit::BackingStore), Some(Unfit::BackingStore), None]);
    let images = Path::new("/var/lib/libvirt/images");
    assert_eq!(disks[3].described, [images.join("web.first"), images.join("web.qcow2")]);
    assert!(disks[0].described.is_empty());
}

#[test]
fn what_is_no_domain_says_so() {
    let refused = |xml| Domain::parse(xml).unwrap_err().to_string();
    assert_eq!(
        refused("<network><name>default</name></network>"),
        "the XML is of no domain, but of <network>"
    );
    assert_eq!(refused("<domain"), "the domain's XML cannot be read");
    assert_eq!(refused("<!DOCTYPE d [<!ENTITY a 'b'>]><domain/>"), "the domain's XML cannot be read");
    let impossible = VIRT_INSTALL.replace("alpine", "../alpine");
    assert_eq!(refused(&impossible), "the domain's metadata name an image");
}
