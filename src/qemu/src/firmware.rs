//! Firmware of guests: which boots an image, and the files of UEFI on this host.
//!
//! Promises: a guest never writes to the files that are installed. It gets a copy of the variable store that is worth
//! nothing after the run, so that each boot is the first with this firmware, as that of a new VM is.

use super::{InspectError, Place, Qemu};
use bootstash_base::error::Classified;
use bootstash_disk::firmware::{self, Firmware};
use bootstash_disk::{BaseReadError, ImageFormat};
use serde_json::json;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// Where distributions have OVMF without Secure Boot, in the form of raw flash chips: its code, and an empty variable
/// store of the same build.
const INSTALLED: [(&str, &str); 5] = [
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"),
];
/// What they are called in a guest's place.
const CODE: &str = "ovmf-code";
const VARIABLES: &str = "ovmf-variables";

/// UEFI firmware cannot be given to a guest.
#[derive(Debug, thiserror::Error, Classified)]
#[class(operator)]
pub enum FirmwareError {
    /// There is none here.
    #[error(
        "the guest boots by UEFI, and no UEFI firmware is installed on this host; install it (apt-get install ovmf, \
         or dnf install edk2-ovmf)"
    )]
    Missing,
    /// Its files cannot be copied.
    #[error("cannot copy {} for a guest", .path.display())]
    Copy {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The two flash chips of a guest that boots by UEFI, under the paths by which QEMU finds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flash {
    code: PathBuf,
    variables: PathBuf,
}

impl Flash {
    /// The firmware that is installed on this host, with its own variable store.
    fn installed() -> Result<Self, FirmwareError> {
        let pairs = INSTALLED.iter().map(|(code, variables)| (Path::new(code), Path::new(variables)));
        Self::first_of(pairs)
    }

    fn first_of<'a>(mut pairs: impl Iterator<Item = (&'a Path, &'a Path)>) -> Result<Self, FirmwareError> {
        let found = pairs.find(|(code, variables)| code.is_file() && variables.is_file());
        let (code, variables) = found.ok_or(FirmwareError::Missing)?;
        Ok(Self { code: code.to_owned(), variables: variables.to_owned() })
    }

    /// As a confined guest finds copies of the installed ones in its place: nothing where BIOS boots it, which QEMU
    /// brings itself.
    pub(super) async fn in_place(firmware: Firmware, place: &Place) -> Result<Option<Self>, FirmwareError> {
        if firmware == Firmware::Bios {
            return Ok(None);
        }
        let installed = Self::installed()?;
        for (from, name) in [(&installed.code, CODE), (&installed.variables, VARIABLES)] {
            copy(from, place.path().join(name)).await?;
        }
        place
            .hand_over(VARIABLES)
            .map_err(|source| FirmwareError::Copy { path: installed.variables, source })?;
        Ok(Some(Self { code: CODE.into(), variables: VARIABLES.into() }))
    }

    /// For a guest of the user's own: the code as it is installed, and a copy of the variable store in `dir`.
    pub(super) async fn in_directory(firmware: Firmware, dir: &Path) -> Result<Option<Self>, FirmwareError> {
        if firmware == Firmware::Bios {
            return Ok(None);
        }
        let installed = Self::installed()?;
        let variables = dir.join(VARIABLES);
        copy(&installed.variables, variables.clone()).await?;
        Ok(Some(Self { variables, ..installed }))
    }

    /// QEMU's arguments.
    pub(super) fn args(&self) -> Vec<OsString> {
        let chip = |id: &str, path: &Path, read_only: bool| {
            let file = json!({ "driver": "file", "filename": path.to_string_lossy() });
            json!({ "driver": "raw", "node-name": id, "read-only": read_only, "file": file }).to_string()
        };
        let (code, variables) =
            (chip("firmware", &self.code, true), chip("variables", &self.variables, false));
        let machine = "pflash0=firmware,pflash1=variables".to_owned();
        let words =
            ["-blockdev".to_owned(), code, "-blockdev".to_owned(), variables, "-machine".to_owned(), machine];
        words.into_iter().map(OsString::from).collect()
    }
}

async fn copy(from: &Path, to: PathBuf) -> Result<(), FirmwareError> {
    let failed = |source| FirmwareError::Copy { path: from.to_owned(), source };
    tokio::fs::copy(from, to).await.map(drop).map_err(failed)
}

impl Qemu {
    /// Recognises the firmware that boots an image which was inspected, by what its disk begins with.
    pub(super) async fn recognise_firmware(
        &self,
        path: &Path,
        format: ImageFormat,
        disk_bytes: u64,
    ) -> Result<Firmware, InspectError> {
        let image = self.open_start(path, format, disk_bytes).await?;
        let looking = tokio::task::spawn_blocking(move || {
            firmware::recognise(disk_bytes, |buffer, offset| image.read_blocking(buffer, offset))
        });
        let looked = looking.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        let found = looked.map_err(|source| BaseReadError::Io { path: path.to_owned(), source })?;
        tracing::info!("{} is booted by {}: {}", path.display(), found.firmware, found.why);
        Ok(found.firmware)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_uefi_names_the_package() {
        let dir = tempfile::tempdir().unwrap();
        let (code, variables) = (dir.path().join("code"), dir.path().join("variables"));
        let look = || Flash::first_of([(code.as_path(), variables.as_path())].into_iter());
        let error = look().unwrap_err().to_string();
        assert!(error.contains("apt-get install ovmf"), "{error}");
        std::fs::write(&code, "").unwrap();
        assert!(look().is_err(), "code without its variable store");
        std::fs::write(&variables, "").unwrap();
        assert_eq!(look().unwrap(), Flash { code: code.clone(), variables: variables.clone() });
    }

    #[test]
    fn only_the_variable_store_can_be_written() {
        let args = Flash { code: "code".into(), variables: "variables".into() }.args();
        let nodes: Vec<serde_json::Value> =
            args.iter().filter_map(|arg| serde_json::from_str(arg.to_str()?).ok()).collect();
        assert_eq!(nodes.len(), 2);
        assert_eq!((&nodes[0]["read-only"], &nodes[0]["file"]["filename"]), (&true.into(), &"code".into()));
        assert_eq!(
            (&nodes[1]["read-only"], &nodes[1]["file"]["filename"]),
            (&false.into(), &"variables".into())
        );
    }

    #[tokio::test]
    async fn bios_needs_no_files() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::create_in(dir.path()).unwrap();
        assert_eq!(Flash::in_place(Firmware::Bios, &place).await.unwrap(), None);
        assert_eq!(Flash::in_directory(Firmware::Bios, dir.path()).await.unwrap(), None);
    }
}
