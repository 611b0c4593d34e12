//! A private directory for sockets.

use std::io;
use std::path::{Path, PathBuf};

/// Room for the longest name we put into it: Linux takes 107 bytes for a whole socket path.
const MAX_DIRECTORY_BYTES: usize = 90;

/// A directory only we can enter, short enough for socket paths; removed with its content on drop.
#[derive(Debug)]
pub struct SocketDir(tempfile::TempDir);

impl SocketDir {
    /// Makes one in `preferred`, or in the system's directory for temporary files where the path
    /// would grow too long for a socket.
    ///
    /// # Errors
    /// What making it met.
    pub fn create_in(preferred: &Path) -> io::Result<Self> {
        let preferred = std::path::absolute(preferred)?;
        let builder = || {
            let mut builder = tempfile::Builder::new();
            builder.prefix("s-");
            builder
        };
        if preferred.as_os_str().len() + "/s-XXXXXX".len() <= MAX_DIRECTORY_BYTES {
            return builder().tempdir_in(preferred).map(Self);
        }
        builder().tempdir().map(Self)
    }

    /// The path of a socket in it.
    pub fn socket(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_can_be_bound_below_any_path() {
        let scratch = tempfile::tempdir().unwrap();
        let deep = scratch.path().join("d".repeat(200));
        std::fs::create_dir(&deep).unwrap();
        for preferred in [scratch.path(), &deep] {
            let sockets = SocketDir::create_in(preferred).unwrap();
            std::os::unix::net::UnixListener::bind(sockets.socket("serial")).unwrap();
        }
    }
}
