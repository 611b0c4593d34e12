//! Finding the programs, once, by absolute path.

use bootstash_base::error::Classified;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// The QEMU of this host. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Qemu(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    programs: Programs,
    /// Why KVM does not work, once that was tried.
    kvm_verdict: OnceCell<Option<String>>,
}

/// Absolute paths.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) img: PathBuf,
    pub(super) system: PathBuf,
    /// Sets limits on the others.
    pub(super) prlimit: PathBuf,
    /// Takes privileges from the others, and has the kernel end them with us.
    pub(super) setpriv: PathBuf,
    /// Has the others stand back.
    pub(super) nice: PathBuf,
    /// Takes the network from the others.
    pub(super) unshare: PathBuf,
}

/// QEMU is not installed, or not whole.
#[derive(Debug, thiserror::Error, Classified)]
#[class(operator)]
pub enum FindError {
    /// A program is missing.
    #[error("{program} is not installed on this host; install it (apt-get install {package})")]
    Missing {
        /// The program.
        program: &'static str,
        /// The Debian package that brings it.
        package: &'static str,
    },
}

impl Qemu {
    /// Looks for the programs in `PATH` and in the usual directories.
    ///
    /// # Errors
    /// Names the first program that is missing and the package that brings it.
    pub fn find() -> Result<Self, FindError> {
        Self::find_in(&directories())
    }

    fn find_in(directories: &[PathBuf]) -> Result<Self, FindError> {
        let find =
            |program, package| locate(directories, program).ok_or(FindError::Missing { program, package });
        let programs = Programs {
            img: find("qemu-img", "qemu-utils")?,
            system: find("qemu-system-x86_64", "qemu-system-x86")?,
            prlimit: find("prlimit", "util-linux")?,
            setpriv: find("setpriv", "util-linux")?,
            unshare: find("unshare", "util-linux")?,
            nice: find("nice", "coreutils")?,
        };
        Ok(Self(Arc::new(Shared { programs, kvm_verdict: OnceCell::new() })))
    }

    pub(super) fn programs(&self) -> &Programs {
        &self.0.programs
    }

    pub(super) fn kvm_verdict(&self) -> &OnceCell<Option<String>> {
        &self.0.kvm_verdict
    }
}

fn directories() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/bin", "/usr/local/bin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path).filter(|dir| dir.is_absolute()).chain(usual).collect()
}

fn locate(directories: &[PathBuf], program: &str) -> Option<PathBuf> {
    directories.iter().map(|dir| dir.join(program)).find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok() && path.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_missing_and_its_package() {
        let empty = tempfile::tempdir().unwrap();
        let error = Qemu::find_in(&[empty.path().to_owned()]).unwrap_err().to_string();
        assert!(error.contains("qemu-img") && error.contains("apt-get install qemu-utils"), "{error}");
    }

    #[test]
    fn takes_only_what_can_be_run() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("tool");
        std::fs::write(&program, "").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        let dirs = [dir.path().to_owned()];
        assert_eq!(locate(&dirs, "tool"), Some(program));
        assert_eq!(locate(&dirs, "sub"), None);
    }
}
