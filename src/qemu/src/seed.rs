//! A seed of cloud-init for guests: the metadata that a VM of a cloud has, from a disk of its own (NoCloud).
//!
//! Promises: in a capture it says what cloud-init cannot go on without, and nothing else. The guest's user, its keys and
//! its modules are those of the image's own configuration, as in any VM of it. On a user's terminal it carries the user's
//! own data, as they were given, beside. A guest without cloud-init has one small disk more.

use super::{HardwareProfile, Place};
use bootstash_disk::iso9660;
use serde_json::json;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// By this label cloud-init knows it.
const LABEL: &str = "cidata";
/// In the guest's place, or directory.
pub(super) const FILE: &str = "seed";

/// Every capture boot begins from the image, so that any name that is not in it makes a first boot, as that of a new VM
/// is.
const META_DATA: &str = "instance-id: bootstash-capture\nlocal-hostname: bootstash-capture\n";
/// Nothing beyond what the image itself is configured to do.
const USER_DATA: &str = "#cloud-config\n{}\n";
/// What QEMU gives the first network interface where nobody says otherwise.
const FIRST_MAC: &str = "52:54:00:12:34:56";

/// A network that is up at once: nobody answers DHCP in a capture, and what waits for an address would wait for
/// minutes. The address is of those that are for documents (RFC 5737); without a gateway nothing tries to reach others.
fn network_config() -> String {
    format!(
        "version: 2\nethernets:\n  eth0:\n    match:\n      macaddress: \"{FIRST_MAC}\"\n    set-name: eth0\n    \
         addresses: [192.0.2.2/24]\n"
    )
}

/// The volume of a capture.
fn capture_volume() -> Vec<u8> {
    let network = network_config();
    let files = [
        ("meta-data", META_DATA.as_bytes()),
        ("network-config", network.as_bytes()),
        ("user-data", USER_DATA.as_bytes()),
    ];
    iso9660::volume(LABEL, &files)
}

/// The volume of a guest on a user's terminal. cloud-init does anew what it does once for each instance where the name of
/// that is another: so it does in a disk that was kept, where the data are other ones than before.
fn terminal_volume(user_data: &[u8], has_network: bool) -> Vec<u8> {
    let instance = blake3::hash(user_data).to_hex();
    let meta_data = format!("instance-id: bootstash-{}\nlocal-hostname: bootstash\n", &instance[..16]);
    let network = network_config();
    let mut files = vec![("meta-data", meta_data.as_bytes()), ("user-data", user_data)];
    if !has_network {
        files.push(("network-config", network.as_bytes()));
    }
    iso9660::volume(LABEL, &files)
}

/// Puts that of a capture into a guest's place, for reading.
pub(super) async fn put(place: &Place) -> io::Result<()> {
    tokio::fs::write(place.path().join(FILE), capture_volume()).await
}

/// Puts one with a user's own data into a directory, and tells where it lies.
pub(super) async fn put_user_data(
    directory: &Path,
    user_data: &[u8],
    has_network: bool,
) -> io::Result<PathBuf> {
    let path = directory.join(FILE);
    tokio::fs::write(&path, terminal_volume(user_data, has_network)).await?;
    Ok(path)
}

/// The root port behind those of a profile's own devices, so that the image's disk stays the first.
const PORT: u32 = 7;

/// QEMU's arguments: a disk, not a CD-ROM, whose controllers kernels made for clouds do not know.
pub(super) fn args(profile: HardwareProfile, file: &Path) -> Vec<OsString> {
    let file = json!({ "driver": "file", "filename": file.to_string_lossy(), "read-only": true });
    let node = json!({ "driver": "raw", "node-name": "seed", "read-only": true, "file": file }).to_string();
    let device = format!("virtio-blk-pci,drive=seed,id=seed{}", profile.bus(PORT));
    ["-blockdev", &node, "-device", &device].map(OsString::from).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_asks_for_nothing_of_its_own() {
        assert_eq!(USER_DATA.lines().collect::<Vec<_>>(), ["#cloud-config", "{}"]);
        for word in ["user", "ssh", "passw", "key", "runcmd", "package"] {
            assert!(!META_DATA.contains(word) && !network_config().contains(word), "{word}");
        }
    }

    #[tokio::test]
    async fn blkid_knows_it_as_cloud_init_does() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::create_in(dir.path()).unwrap();
        put(&place).await.unwrap();
        let bytes = std::fs::read(place.path().join(FILE)).unwrap();
        assert_eq!(bytes.len() % 2048, 0);
        assert!(bytes[32768..].starts_with(b"\x01CD001"));
        assert!(bytes.windows(9).any(|window| window == b"USER-DATA"));
    }

    #[tokio::test]
    async fn a_users_data_are_carried_as_they_are_and_name_the_instance() {
        let dir = tempfile::tempdir().unwrap();
        let data = b"#cloud-config\nhostname: web\n";
        let path = put_user_data(dir.path(), data, true).await.unwrap();
        let has = |volume: &[u8], text: &[u8]| volume.windows(text.len()).any(|window| window == text);
        let volume = std::fs::read(&path).unwrap();
        assert!(has(&volume, data) && !has(&volume, b"NETWORK-CONFIG"));
        assert_eq!(volume, terminal_volume(data, true), "the same data are the same instance");
        assert!(has(&terminal_volume(data, false), b"NETWORK-CONFIG"));
        let instance = |data: &[u8]| {
            let volume = terminal_volume(data, true);
            let text = String::from_utf8_lossy(&volume);
            text.split_once("instance-id: ").unwrap().1[..26].to_owned()
        };
        assert_ne!(instance(data), instance(b"#cloud-config\nhostname: db\n"));
    }

    /// Guests find disks in the order of their buses, and some images name their root file system as /dev/vda1.
    #[test]
    fn it_comes_behind_the_images_own_disk() {
        let port = |args: Vec<OsString>| {
            let words = args.into_iter().map(|arg| arg.into_string().unwrap());
            let mut ports = words.filter_map(|arg| arg.split_once("bus=port")?.1.parse::<u32>().ok());
            ports.next()
        };
        let profile = HardwareProfile::Libvirt;
        assert!(port(args(profile, FILE.as_ref())) > port(profile.disk()), "{:?}", profile.disk());
        assert!(port(profile.disk()).is_some(), "{:?}", profile.disk());
        assert!(
            !profile
                .devices()
                .iter()
                .any(|device| device.to_string_lossy().ends_with(&format!("bus=port{PORT}")))
        );
    }

    #[test]
    fn it_cannot_be_written() {
        let args = args(HardwareProfile::Libvirt, FILE.as_ref());
        let node: serde_json::Value = serde_json::from_str(args[1].to_str().unwrap()).unwrap();
        assert_eq!((&node["read-only"], &node["file"]["read-only"]), (&true.into(), &true.into()));
    }
}
