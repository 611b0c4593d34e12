//! Which host this is, as the registrar is told: by its machine-id, hashed, and this start of its kernel.
//!
//! Promises: what is told does not give the machine-id away, which machine-id(5) says is to be kept on the host.

use bootstash_net::api::HostId;
use std::io;
use std::path::Path;

const MACHINE_ID: &str = "/etc/machine-id";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const CONTEXT: &str = "bootstash 2026-11-27 which host uses a node's identity";
const HASH_CHARS: usize = 32;

/// This host; none where it does not say which it is. Blocking, short.
pub fn of_this_host() -> Option<HostId> {
    match read(Path::new(MACHINE_ID), Path::new(BOOT_ID)) {
        Ok(host) => Some(host),
        Err(error) => {
            tracing::info!("{error}; a host that was cloned from this one is not told apart from it");
            None
        }
    }
}

fn read(machine_id: &Path, boot_id: &Path) -> io::Result<HostId> {
    let text = |path: &Path| {
        let read = std::fs::read_to_string(path);
        read.map_err(|error| io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display())))
    };
    let (machine, boot) = (text(machine_id)?, text(boot_id)?);
    let hash = blake3::Hasher::new_derive_key(CONTEXT).update(machine.trim().as_bytes()).finalize().to_hex();
    HostId::new(&hash[..HASH_CHARS], boot.trim()).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_apart_by_disk_and_by_start_and_keeps_its_machine_id() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let secret = "b08dfa6083e7567a1921a715000001fb";
        let (one, other) = (file("m1", &format!("{secret}\n")), file("m2", "0000\n"));
        let (first, second) = (file("b1", "9c1e-1\n"), file("b2", "9c1e-2\n"));
        let host = read(&one, &first).unwrap();
        assert_eq!(host, read(&one, &first).unwrap());
        assert_eq!(host.machine(), read(&one, &second).unwrap().machine());
        assert_ne!(host, read(&one, &second).unwrap());
        assert_ne!(host.machine(), read(&other, &first).unwrap().machine());
        assert!(!host.to_string().contains(secret));
        let error = read(&dir.path().join("none"), &first).unwrap_err().to_string();
        assert!(error.contains("none"), "{error}");
    }
}
